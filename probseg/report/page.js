/* The page by itself: its light, tables that sort and filter, all of it opened for print. */
"use strict";
(() => {
  const html = document.documentElement;
  const kept = { /* a page from the disk may be refused a memory */
    read() { try { return localStorage.getItem("probseg-theme"); } catch { return null; } },
    write(value) { try { localStorage.setItem("probseg-theme", value); } catch { /* then it forgets */ } },
  };
  const button = document.getElementById("theme");
  const dark = () => (html.dataset.theme ? html.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  const label = () => { button.textContent = dark() ? "Light page" : "Dark page"; };
  if (["light", "dark"].includes(kept.read())) html.dataset.theme = kept.read();
  button.hidden = false;
  label();
  button.addEventListener("click", () => {
    html.dataset.theme = dark() ? "light" : "dark";
    kept.write(html.dataset.theme);
    label();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);

  /* Numbers by their value, names as people count; what is undefined is last either way. */
  const value = (row, k) => {
    const cell = row.cells[k];
    if (!cell) return null;
    if (cell.dataset.value !== undefined) return cell.dataset.value === "" ? null : Number(cell.dataset.value);
    const text = cell.textContent.trim();
    return text === "" || text === "\u2013" ? null : text;
  };
  const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b
    : String(a).localeCompare(String(b), undefined, { numeric: true }));
  const sort = (table, k, falling) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [value(row, k), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return falling ? order(b, a) : order(a, b);
    });
    body.append(...rows.map(([, row]) => row));
    [...table.tHead.rows[0].cells].forEach((cell, i) => {
      if (i === k) cell.setAttribute("aria-sort", falling ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
  };
  for (const table of document.querySelectorAll("table.sorts")) {
    [...table.tHead.rows[0].cells].forEach((cell, k) => {
      if (cell.dataset.fixed !== undefined) return;
      const push = document.createElement("button");
      push.type = "button";
      push.className = "sort";
      const mark = document.createElement("span");
      mark.className = "mark";
      mark.setAttribute("aria-hidden", "true");
      push.append(...cell.childNodes);
      push.insertBefore(mark, push.querySelector("small"));
      cell.append(push);
      push.addEventListener("click", () => sort(table, k, cell.getAttribute("aria-sort") === "ascending"));
    });
  }
  for (const input of document.querySelectorAll("input[data-filters]")) {
    const table = document.getElementById(input.dataset.filters);
    const count = document.getElementById(`${input.dataset.filters}-count`);
    const rows = [...table.tBodies[0].rows];
    input.closest(".filter").hidden = false;
    const apply = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      count.textContent = `${shown} of ${rows.length} rows`;
    };
    input.addEventListener("input", apply);
    apply();
  }

  const opened = [];
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details:not([open])")) {
      details.open = true;
      opened.push(details);
    }
  });
  addEventListener("afterprint", () => { while (opened.length) opened.pop().open = false; });
  for (const copy of document.querySelectorAll("button[data-copies]")) {
    copy.hidden = !navigator.clipboard;
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(copy.dataset.copies).textContent);
      copy.textContent = "Copied";
    });
  }
})();
