"use strict";
(() => {
  const show = document.getElementById("show-published");
  const apply = () => {
    for (const row of document.querySelectorAll("tr.published")) row.hidden = !show.checked;
  };
  show.addEventListener("change", apply);
  apply();
})();
