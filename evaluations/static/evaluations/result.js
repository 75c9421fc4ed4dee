// The page of a result by keyboard: j goes to the next one, k to the previous one. The player has its own keys.
"use strict";

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  const direction = { j: "next", k: "prev" }[event.key];
  if (direction) document.querySelector(`a[rel=${direction}]`)?.click();
});
