#!/bin/sh
# Drives every endpoint of the service with curl. Prints a line for each step: its
# name, the status, and the answer.
#
#   testdata/drive.sh http://localhost:8080 demo@example.com demo-password FILE.pdf
set -eu
base=$1 email=$2 password=$3 pdf=$4
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# field NAME: the value of that field in the last answer.
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p" "$dir/body" | head -n 1 | sed 's/\\u0026/\&/g'; }

# step NAME CURL-ARGUMENT...: one request.
step() {
	name=$1
	shift
	status=$(curl -sS -o "$dir/body" -D "$dir/header" -w '%{http_code}' -H "Authorization: Bearer ${token:-}" "$@")
	printf '%s: %s %s\n' "$name" "$status" "$(cat "$dir/body")"
}

step_without() { # as step, without a token
	name=$1
	shift
	status=$(curl -sS -o "$dir/body" -w '%{http_code}' "$@")
	printf '%s: %s %s\n' "$name" "$status" "$(cat "$dir/body")"
}

json='Content-Type: application/json'
step_without health "$base/healthz"
step_without ready "$base/readyz"
step_without 'nobody' "$base/invoice"
step_without 'login with a wrong password' "$base/auth/login" -H "$json" -d "{\"email\":\"$email\",\"password\":\"wrong-password\"}"
step_without login "$base/auth/login" -H "$json" -d "{\"email\":\"$email\",\"password\":\"$password\"}" >"$dir/line"
sed 's/_token":"[^"]*/_token":"…/g' "$dir/line"
refresh=$(field refresh_token)
step_without refresh "$base/auth/refresh" -H "$json" -d "{\"refresh_token\":\"$refresh\"}" >"$dir/line"
sed 's/_token":"[^"]*/_token":"…/g' "$dir/line"
token=$(field access_token)

step upload_file "$base/invoice/upload_file" -F number=2026-0043 -F date=2026-11-03 -F total=119.00 -F currency=EUR -F "file=@$pdf"
first=$(field invoice_id)
step upload_file_auto "$base/invoice/upload_file_auto" -F "file=@$pdf"
auto=$(field invoice_id)
step upload_file_direct "$base/invoice/upload_file_direct" -F number=2026-0044 -F date=2026-11-04 -F total=7 -F transaction_id=tx-7 -F "file=@$pdf"
step 'upload_file_direct without a transaction' "$base/invoice/upload_file_direct" -F number=1 -F date=2026-11-04 -F total=7 -F "file=@$pdf"
step 'upload_file with bad details' "$base/invoice/upload_file" -F number= -F date=4.11.2026 -F total=much -F currency=euro -F "file=@$pdf"
echo 'just text' >"$dir/text.pdf"
step 'upload_file of another type' "$base/invoice/upload_file" -F number=1 -F date=2026-11-04 -F total=7 -F "file=@$dir/text.pdf"
printf '%%PDF-1.7\nnot one' >"$dir/broken.pdf"
step 'upload_file_auto of a broken PDF' "$base/invoice/upload_file_auto" -F "file=@$dir/broken.pdf"

size=$(wc -c <"$pdf" | tr -d ' ')
sum=$(sha256sum "$pdf" | cut -d ' ' -f 1)
step 'begin to the bucket' "$base/invoice/direct/begin" -H "$json" -d "{\"filename\":\"Rechnung März.pdf\",\"content_type\":\"application/pdf\",\"size\":$size,\"sha256\":\"$sum\",\"fields\":{\"number\":\"2026-0045\",\"date\":\"2026-11-05\",\"total\":\"8.50\"}}" >"$dir/line"
sed 's/ {.*//' "$dir/line"
bucket=$(sed -n 's#^[Ll]ocation: /invoice/\([0-9a-f-]*\).*#\1#p' "$dir/header")
url=$(field url) method=$(field method) end="{\"id\":\"$(field id)\",\"key\":\"$(field key)\"}"
step 'complete too early' "$base/invoice/direct/complete" -H "$json" -d "$end"
sed -n 's/.*"headers":{\([^}]*\)}.*/\1/p' "$dir/line" | sed 's/","/"\n"/g' | sed -n 's/^"\([^"]*\)":"\([^"]*\)"$/header = "\1: \2"/p' >"$dir/headers"
status=$(curl -sS -o "$dir/body" -w '%{http_code}' -X "$method" -K "$dir/headers" --data-binary "@$pdf" "$url")
case $status in 2??) echo 'sent to the bucket' ;; *) echo "sent to the bucket: $status $(cat "$dir/body")" ;; esac
step complete "$base/invoice/direct/complete" -H "$json" -d "$end"
step 'complete again' "$base/invoice/direct/complete" -H "$json" -d "$end"
step 'what went straight to the bucket' "$base/invoice/$bucket"

step list "$base/invoice"
step get "$base/invoice/$first"

for id in "$first" "$auto" "$bucket"; do
	curl -sS -o "$dir/file" -D "$dir/header" -H "Authorization: Bearer $token" "$base/invoice/download?invoice_id=$id"
	if grep -qi '^content-type: application/json' "$dir/header"; then
		cp "$dir/file" "$dir/body"
		echo "download form: download_url, expires_in_seconds $(field expires_in_seconds)"
		curl -sS -o "$dir/file" "$(field download_url)"
	else
		echo 'download form: the file'
	fi
	cmp "$dir/file" "$pdf" && echo 'downloaded: the same bytes'
done
step 'link' -X POST "$base/invoice/$first/link" >"$dir/line"
sed 's/"download_url":"[^"]*/"download_url":"…/' "$dir/line"
curl -sS -o "$dir/file" "$(field download_url)"
cmp "$dir/file" "$pdf" && echo 'by link: the same bytes'

step delete -X DELETE "$base/invoice/$auto"
step 'delete again' -X DELETE "$base/invoice/$auto"
step 'get what was deleted' "$base/invoice/$auto"
step 'download what was deleted' "$base/invoice/download?invoice_id=$auto"
step 'verify' -X POST "$base/trail/verify"
step 'trail' "$base/invoice/$auto/trail" >"$dir/line"
cat "$dir/line"
step 'trail of what is not there' "$base/invoice/00000000-0000-4000-8000-000000000000/trail"
step logout -X POST "$base/auth/logout"
step 'after logging out' "$base/invoice"
