// Shows the rows whose name holds what is typed; ticked ones stay.
document.querySelector("[data-search]")?.addEventListener("input", (event) => {
  const wanted = event.target.value.trim().toLowerCase();
  for (const row of document.querySelectorAll("[data-name]")) {
    row.hidden = !row.dataset.name.toLowerCase().includes(wanted) && !row.querySelector(":checked");
  }
});
