// This script adds drag and drop, progress, links and direct uploads to the page. Without it, the form still works.
"use strict";

document.documentElement.classList.add("live");
const by = (id) => document.getElementById(id);
const form = by("upload"), file = by("file"), drop = by("drop"), said = by("said"), bar = by("bar");
const details = by("details"), hint = by("chosen").textContent;
let running = null;

const size = (n) => {
	const units = ["B", "KiB", "MiB", "GiB"];
	let u = 0;
	for (; n >= 1024 && u < units.length - 1; u++) n /= 1024;
	return `${u ? n.toFixed(1) : n} ${units[u]}`;
};

// say shows a text and announces it to screen readers. show does not announce it; use it for frequent changes.
function say(text, bad) {
	show(text, bad);
	by("spoken").textContent = text;
}

function show(text, bad) {
	said.textContent = text;
	said.classList.toggle("bad", Boolean(bad));
}

// problem returns the message of a failed request.
function problem(xhr) {
	try {
		const p = JSON.parse(xhr.responseText);
		return [p.title, p.detail].filter(Boolean).join(". ").replace(/\.?$/, ".");
	} catch {
		return xhr.status ? `The request failed with status ${xhr.status}.` : "The connection was lost.";
	}
}

// found returns the details that the service read with certainty.
function found(xhr) {
	try {
		return JSON.parse(xhr.responseText).found;
	} catch {
		return undefined;
	}
}

// fillIn shows the details in the form. The user checks and completes them.
function fillIn(values) {
	form.elements.way.value = "form";
	details.hidden = false;
	for (const input of details.querySelectorAll("input")) input.disabled = false;
	for (const name of ["number", "date", "total", "currency"]) form.elements[name].value = values[name] || "";
	(["number", "date", "total", "currency"].map((name) => form.elements[name]).find((input) => !input.value) || form.elements.number).focus();
}

// send sends a request and shows its progress. It resolves with the request, or
// rejects with a message for the user.
function send(method, url, headers, body, total) {
	return new Promise((resolve, reject) => {
		const xhr = new XMLHttpRequest(), began = performance.now();
		running = xhr;
		xhr.open(method, url);
		for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
		if (total) {
			let announced = 0;
			xhr.upload.onprogress = (e) => {
				const part = e.loaded / (e.total || total), rate = e.loaded / (performance.now() - began) * 1000;
				bar.value = Math.round(part * 100);
				if (part >= 1) {
					by("cancel").disabled = true; // from now on, the file may be stored even if the response is lost
					return say("Recording …");
				}
				show(`${bar.value} %, ${size(e.loaded)} of ${size(total)}, ${size(rate)}/s`);
				if (part * 4 >= announced + 1) {
					announced = Math.floor(part * 4);
					by("spoken").textContent = `${announced * 25} %`;
				}
			};
		}
		xhr.onload = () => xhr.status < 300 ? resolve(xhr) : reject(Object.assign(new Error(problem(xhr)), { found: found(xhr) }));
		xhr.onerror = () => reject(new Error("The connection was lost."));
		xhr.onabort = () => reject(new Error("Canceled. Nothing was stored."));
		xhr.send(body);
	});
}

// direct uploads the file to the bucket: begin, upload, complete.
async function direct(f) {
	const fields = Object.fromEntries(["number", "date", "total", "currency", "transaction_id"].map((n) => [n, form.elements[n].value]));
	const json = { "Content-Type": "application/json" };
	const t = JSON.parse((await send("POST", "/invoice/direct/begin", json,
		JSON.stringify({ fields, filename: f.name, content_type: f.type, size: f.size }))).responseText);
	let body = f;
	if (t.method === "POST") { // some services require a form
		body = new FormData();
		for (const [name, value] of Object.entries(t.fields || {})) body.append(name, value);
		body.append("file", f);
	}
	const end = JSON.stringify({ id: t.id, key: t.key });
	try {
		await send(t.method, t.url, t.headers || {}, body, f.size);
	} catch (err) {
		// Abort now instead of waiting until the link expires.
		fetch("/invoice/direct/abort", { method: "POST", headers: json, body: end, keepalive: true }).catch(() => {});
		throw err;
	}
	await send("POST", "/invoice/direct/complete", json, end);
}

// through sends the form to the service. The fields come before the file.
async function through(f, auto) {
	const body = new FormData();
	for (const name of auto ? [] : ["number", "date", "total", "currency", "transaction_id"]) body.append(name, form.elements[name].value);
	body.append("file", f, f.name);
	const linked = !auto && form.elements.transaction_id.value;
	await send("POST", auto ? "/invoice/upload_file_auto" : linked ? "/invoice/upload_file_direct" : "/invoice/upload_file", {}, body, f.size);
}

function way() { return form.elements.way.value; }

function choose() {
	const f = file.files[0];
	by("chosen").textContent = f ? `${f.name}, ${size(f.size)}` : hint;
	say("");
}

for (const radio of form.elements.way) {
	radio.addEventListener("change", () => {
		const auto = way() === "auto";
		details.hidden = auto;
		for (const input of details.querySelectorAll("input")) input.disabled = auto;
		say("");
	});
}

file.addEventListener("change", choose);
for (const type of ["dragenter", "dragover"]) {
	drop.addEventListener(type, (e) => { e.preventDefault(); drop.classList.add("over"); });
}
for (const type of ["dragleave", "drop"]) {
	drop.addEventListener(type, (e) => { e.preventDefault(); drop.classList.remove("over"); });
}
drop.addEventListener("drop", (e) => {
	if (e.dataTransfer.files.length) {
		file.files = e.dataTransfer.files;
		choose();
	}
});

form.addEventListener("submit", async (e) => {
	e.preventDefault();
	const f = file.files[0], most = Number(way() === "auto" ? form.dataset.maxPdf : form.dataset.max);
	if (f.size > most) return say(`The file is too large: ${size(f.size)}. The limit is ${size(most)}.`, true);
	const button = form.querySelector("button.main");
	button.disabled = true;
	bar.value = 0;
	by("cancel").disabled = false;
	by("progress").hidden = false;
	say("Uploading …");
	try {
		await (way() === "direct" ? direct(f) : through(f, way() === "auto"));
		say("Stored.");
		location.href = "/";
	} catch (err) {
		if (err.found && way() === "auto") fillIn(err.found);
		say(err.message, true);
		button.disabled = false;
	}
	by("progress").hidden = true;
	running = null;
});
by("cancel").addEventListener("click", () => running && running.abort());

document.querySelectorAll("tr[data-id]").forEach((row) => {
	row.querySelector(".link").addEventListener("click", async () => {
		try {
			const link = JSON.parse((await send("POST", `/invoice/${row.dataset.id}/link`, {}, null)).responseText);
			by("linked-url").value = link.download_url;
			by("linked-ends").textContent = `at ${new Date(Date.now() + link.expires_in_seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`;
			by("copied").textContent = "";
			by("linked").showModal();
			by("linked-url").select();
			by("linked-url").scrollLeft = 0;
		} catch (err) {
			say(err.message, true);
		}
	});
	row.querySelector(".remove").addEventListener("click", () => {
		const sure = by("sure");
		sure.returnValue = "";
		sure.onclose = async () => {
			if (sure.returnValue !== "yes") return;
			try {
				await send("DELETE", `/invoice/${row.dataset.id}`, {}, null);
				location.reload();
			} catch (err) {
				say(err.message, true);
			}
		};
		sure.showModal();
	});
});

by("copy").addEventListener("click", async () => {
	by("linked-url").select();
	try {
		await navigator.clipboard.writeText(by("linked-url").value);
		by("copied").textContent = "Copied.";
	} catch { // not allowed, or not available without HTTPS
		by("linked-url").focus();
		by("copied").textContent = "Press Ctrl+C to copy it.";
	}
});
