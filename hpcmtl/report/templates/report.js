"use strict";
for (const table of document.querySelectorAll("table.sorted")) {
  table.querySelectorAll("thead th").forEach((head, column) => head.addEventListener("click", () => {
    const down = head.dataset.order !== "up";
    head.dataset.order = down ? "up" : "down";
    const key = (row) => row.cells[column].textContent.trim();
    const rows = [...table.tBodies[0].rows].sort((one, other) => key(one).localeCompare(key(other), "en", { numeric: true }));
    table.tBodies[0].append(...(down ? rows : rows.reverse()));
  }));
}
for (const paragraph of document.querySelectorAll(".filter")) {
  paragraph.hidden = false;
  const input = paragraph.querySelector("input");
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase();
    for (const row of document.getElementById(input.dataset.table).tBodies[0].rows) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
    }
  });
}
