// Saves a sample's reference and language where they are shown, and says whether they are saved.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector("[data-reference]");
  if (!form) return;
  const { reference, unknown, language } = form.elements;
  const status = form.querySelector("[role=status]");

  const current = () => ({ reference: unknown.checked ? null : reference.value, language: language.value.trim() });
  let saved = JSON.stringify(current());
  const isChanged = () => JSON.stringify(current()) !== saved;

  function say(text, look = "") {
    status.textContent = text;
    status.className = look;
  }

  async function save() {
    const wanted = current();
    say("Saving");
    try {
      const response = await fetch(form.dataset.url, {
        method: "PATCH",
        headers: { "Content-Type": "application/json", "X-CSRFToken": form.elements.csrfmiddlewaretoken.value },
        body: JSON.stringify(wanted),
      });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.detail);
      saved = JSON.stringify(wanted);
      say(`Saved as revision ${answer.reference_revision}.`, "is-good");
      htmx.ajax("GET", location.href, { target: "#revisions", select: "#revisions", swap: "outerHTML" });
    } catch (error) {
      say(`Not saved: ${error.message}`, "is-bad");
    }
  }

  function onEdit() {
    reference.disabled = unknown.checked;
    say(isChanged() ? "Not saved yet." : "");
  }

  form.addEventListener("input", onEdit);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    save();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  window.addEventListener("beforeunload", (event) => {
    if (isChanged()) event.preventDefault();
  });
});
