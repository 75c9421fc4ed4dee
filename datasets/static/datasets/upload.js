// Uploads many files, a few at a time, one request each: a file that is refused says why and can be tried again.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const page = document.querySelector("[data-upload]");
  const csrfToken = page.querySelector("[name=csrfmiddlewaretoken]").value;
  const zone = page.querySelector(".drop-zone");
  const picker = zone.querySelector("input");
  const list = page.querySelector(".upload-list");
  const total = page.querySelector("[data-total]");
  const summary = page.querySelector("[data-summary]");
  const retryAll = page.querySelector("[data-retry-all]");
  const rowTemplate = page.querySelector("template");

  const AT_ONCE = 3;
  const uploads = []; // {file, row, state: waiting | sending | done | failed}
  let sending = 0;

  const inState = (state) => uploads.filter((upload) => upload.state === state);

  function add(files) {
    for (const file of files) {
      const row = rowTemplate.content.firstElementChild.cloneNode(true);
      const upload = { file, row, state: "waiting" };
      row.querySelector(".upload-name").textContent = file.name;
      row.querySelector("button").addEventListener("click", () => retry(upload));
      uploads.push(upload);
      list.append(row);
      show(upload, "waiting", "Waiting");
    }
    next();
  }

  function next() {
    while (sending < AT_ONCE) {
      const upload = uploads.find((candidate) => candidate.state === "waiting");
      if (!upload) break;
      send(upload);
    }
    showTotal();
  }

  function retry(upload) {
    show(upload, "waiting", "Waiting");
    next();
  }

  function send(upload) {
    sending += 1;
    show(upload, "sending", "Uploading");
    const body = new FormData();
    body.append("audio", upload.file);
    const request = new XMLHttpRequest(); // fetch tells no upload progress
    request.open("POST", page.dataset.url);
    request.setRequestHeader("X-CSRFToken", csrfToken);
    request.setRequestHeader("Accept", "application/json");
    request.upload.addEventListener("progress", (event) => onProgress(upload, event));
    request.addEventListener("loadend", () => {
      sending -= 1;
      const failure = failureOf(request);
      if (failure) show(upload, "failed", failure);
      else show(upload, "done", "Added", JSON.parse(request.responseText).key);
      next();
    });
    request.send(body);
  }

  function onProgress(upload, event) {
    const share = event.loaded / event.total;
    upload.row.querySelector("progress").value = share;
    if (share === 1) stateText(upload, "Checking the audio");
  }

  // Why a file was not added; empty where it was.
  function failureOf(request) {
    if (request.status === 201) return "";
    if (request.status === 0) return "The server could not be reached. Try again.";
    try {
      const problem = JSON.parse(request.responseText);
      return problem.errors.length ? problem.errors.map((error) => error.message).join(" ") : problem.detail;
    } catch {
      return `The server answered ${request.status}. Try again.`;
    }
  }

  function show(upload, state, text, key) {
    upload.state = state;
    upload.row.dataset.state = state;
    upload.row.querySelector("progress").value = state === "done" || state === "failed" ? 1 : 0;
    upload.row.querySelector("button").hidden = state !== "failed";
    if (key) upload.row.querySelector(".upload-name").textContent = key;
    stateText(upload, text);
  }

  function stateText(upload, text) {
    const cell = upload.row.querySelector(".upload-state");
    cell.textContent = upload.state === "failed" ? `Not added: ${text}` : text;
    cell.classList.toggle("is-bad", upload.state === "failed");
    cell.classList.toggle("is-good", upload.state === "done");
  }

  function showTotal() {
    const done = inState("done").length;
    const failed = inState("failed").length;
    const left = uploads.length - done - failed;
    total.value = uploads.length ? (done + failed) / uploads.length : 0;
    summary.textContent = `${done} of ${uploads.length} added, ${failed} not added, ${left} to go.`;
    retryAll.hidden = failed === 0;
  }

  picker.hasChangeListener = true; // the admin's own listener wants a text field beside every file field
  picker.addEventListener("change", () => {
    add(picker.files);
    picker.value = ""; // the same files may be picked again
  });
  retryAll.addEventListener("click", () => inState("failed").forEach(retry));
  for (const name of ["dragenter", "dragover"]) {
    zone.addEventListener(name, (event) => {
      event.preventDefault();
      zone.classList.add("is-over");
    });
  }
  for (const name of ["dragleave", "drop"]) zone.addEventListener(name, () => zone.classList.remove("is-over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    add(event.dataTransfer.files);
  });
  // A file dropped beside the zone must not replace the page.
  for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
  window.addEventListener("beforeunload", (event) => {
    if (inState("waiting").length || sending) event.preventDefault();
  });
});
