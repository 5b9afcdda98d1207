// Package signurl signs and verifies links to stored objects. A link is a URL
// that permits one method on one key until it expires, under constraints.
// Anyone with the URL can use it. Use signurl for backends that cannot presign
// links, such as local files. Use it also for links that pass through the
// application's handler on any backend, because only these can be revoked,
// counted or bound to a user.
//
// A [Signer] converts a [Grant] to a URL, and a request back to the Grant. It
// has no state. A [Grants] counts uses and stores revocations, by grant ID. The
// package imports only the standard library and package secret.
//
// A signed URL is a secret. Errors of this package never contain a signed URL
// or its signature; keep them out of logs too. A URL is not encrypted: it shows
// everything in the link, including the user ID and the IP address.
//
// # Format
//
// This section defines version 1 of the format. Links of other implementations
// that follow it verify here.
//
// A link is the base URL, which ends in a slash, followed by the object key, a
// question mark and the parameters. In the key, all bytes except the unreserved
// characters of RFC 3986 (A-Z a-z 0-9 - . _ ~) and the slash are
// percent-encoded. In the values of parameters, the slash is encoded too. The
// parameters are written in this order:
//
//	bt-v       always    1, the version
//	bt-kid     always    ID of the signing key: 1 to 32 characters of A-Z a-z 0-9 . _ -
//	bt-m       always    GET, HEAD, PUT or DELETE; GET permits HEAD too
//	bt-exp     always    expiry in seconds since 1970-01-01 UTC; the link is invalid from that second
//	bt-gid     always    grant ID: 1 to 64 characters of A-Z a-z 0-9 - . _ ~
//	bt-ct      PUT       media type of the body
//	bt-len     PUT       exact size of the body in bytes, 1 or more
//	bt-max     PUT       maximum size of the body in bytes, 1 or more
//	bt-sha256  PUT       SHA-256 of the body, in lowercase hexadecimal
//	bt-new     PUT       1: an existing object must not be replaced
//	bt-fn      GET HEAD  file name for saving: no control characters, no slash, no backslash
//	bt-inl     GET HEAD  1: display the content instead of saving it
//	bt-rt      GET HEAD  media type of the response
//	bt-uid     any       the only user who may use the link: no control characters
//	bt-ip      any       the only address that may use the link, as in RFC 5952; IPv4 in dotted form
//	bt-uses    any       maximum number of uses, 1 or more
//	bt-sig     always    signature, in base64url without padding
//
// Numbers are decimal, without sign and leading zeros. A parameter that does
// not apply is absent, never empty. File names, media types and user IDs have
// at most 255 bytes. All text is UTF-8. Control characters are those of Unicode
// category Cc.
//
// The signature is an HMAC-SHA-256. The key is the secret of 32 to 1,024 bytes.
// The message consists of the 15 bytes "blobtrail link" and 0x00, the version
// as one byte 0x01, and 17 fields: the audience, the object key, and the
// decoded values of bt-kid, bt-m, bt-exp and so on to bt-uses, in the order
// above. Each field is preceded by its length in bytes as a 16-bit big-endian
// number. An absent parameter is an empty field.
//
// The audience is not in the URL. The signing and the verifying side agree on
// it. By default, it is the decoded path of the base URL, such as "/files/".
//
// Here is an example. The key "k1" has the bytes 0x00 to 0x1f. The base URL is
// https://files.example.com/files/, the object key "invoices/März 1.pdf", the
// method GET, the expiry 2030-01-01T00:00:00Z, the grant ID "G1" and the file
// name "März.pdf", with one use. The link is, without the line breaks:
//
//	https://files.example.com/files/invoices/M%C3%A4rz%201.pdf
//	?bt-v=1&bt-kid=k1&bt-m=GET&bt-exp=1893456000&bt-gid=G1&bt-fn=M%C3%A4rz.pdf&bt-uses=1
//	&bt-sig=sdNcoBwb7BpEmarNlDOSG8QT16onMKKHezfdXjcKUO8
//
// # Verification
//
// Parameters may be in any order, and may be percent-encoded differently,
// because intermediaries re-encode URLs. Only decoded values count. They are
// decoded once, with + as a space in the query. Parameters with names that do
// not begin with "bt-" are ignored and not signed, because trackers and hosts
// add such parameters.
//
// Verification refuses these requests with [ErrSignature]:
//
//   - a parameter name that begins with "bt-", in any case, and is not in the
//     list
//   - a parameter that occurs twice, is empty, or is required and missing
//   - a path or a query longer than 4,096 bytes
//   - a path with an encoded slash
//   - an object key that is empty, longer than 1,024 bytes or not valid UTF-8,
//     or that contains a backslash, a control character (U+0000 to U+001F,
//     U+007F), an empty segment, or a segment "." or ".."
//
// Signing refuses the same object keys.
//
// Only the path and the query of the request's URL count. The path must be the
// path of the base URL followed by the key. Any number of leading segments of
// the base path may be missing, because http.StripPrefix and proxies remove
// them. For the base path /api/files/ and the key k, the paths /api/files/k,
// /files/k and /k are therefore equivalent.
//
// # Rotation
//
// Every Signer has a list of keys. The first key signs, and all keys verify. To
// rotate, first add the new key as the second one on all servers, then move it
// to the first position. Remove the old key after its last link has expired, at
// the latest after [Options].MaxExpiry.
package signurl
