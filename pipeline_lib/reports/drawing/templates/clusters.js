"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const cards = [...document.querySelectorAll("article.cluster")];
  const [cluster, kind, order, search, onMap] = ["choose-cluster", "choose-kind", "choose-order", "search", "choose-on-map"].map(byId);
  const map = document.querySelector("#figure-map svg");
  const number = (card, name) => Number(card.dataset[name]);
  const comparisons = {
    number: (a, b) => number(a, "cluster") - number(b, "cluster"),
    largest: (a, b) => number(b, "size") - number(a, "size"),
    smallest: (a, b) => number(a, "size") - number(b, "size"),
    unsure: (a, b) => number(a, "probability") - number(b, "probability"),
    disputed: (a, b) => number(a, "agreement") - number(b, "agreement"),
  };

  // What a search finds a card by: its heading, and what is said of its images.
  const texts = new Map();
  const textOf = (card) => {
    if (!texts.has(card)) {
      const images = [...card.querySelectorAll("img")].map((image) => image.alt);
      texts.set(card, [card.querySelector("h3").textContent, ...images].join("\n").toLowerCase());
    }
    return texts.get(card);
  };
  const matches = (card, wanted) =>
    /^\d+$/.test(wanted) ? card.dataset.cluster === String(Number(wanted)) : textOf(card).includes(wanted);

  const filter = () => {
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    for (const card of cards) {
      card.hidden = (cluster.value !== "" && card.dataset.cluster !== cluster.value) || !matches(card, wanted);
      shown += card.hidden ? 0 : 1;
    }
    byId("shown").value = `${shown} of ${cards.length} clusters`;
  };
  const chooseKind = () => {
    for (const gallery of document.querySelectorAll("section.gallery")) {
      gallery.hidden = kind.value !== "" && gallery.dataset.kind !== kind.value;
    }
  };
  const sort = () => {
    const sorted = [...cards].sort((a, b) => comparisons[order.value](a, b) || comparisons.number(a, b));
    byId("cards").append(...sorted);
  };
  const highlight = () => {
    for (const group of map.querySelectorAll("[data-cluster]")) {
      group.classList.toggle("dim", onMap.value !== "" && group.dataset.cluster !== onMap.value);
    }
  };

  cluster.addEventListener("change", () => {
    onMap.value = cluster.value;
    filter();
    highlight();
  });
  onMap.addEventListener("change", highlight);
  kind.addEventListener("change", chooseKind);
  order.addEventListener("change", sort);
  search.addEventListener("input", filter);
  for (const form of document.querySelectorAll("form.controls")) {
    form.addEventListener("submit", (event) => event.preventDefault());
    // After going back in the history a browser may keep the old choices; the page shows everything.
    form.reset();
    form.hidden = false;
  }
  filter();

  // A link to a cluster shows it, also where a filter hides it.
  window.addEventListener("hashchange", () => {
    const target = byId(decodeURIComponent(location.hash.slice(1)));
    if (target && target.hidden) {
      cluster.value = "";
      search.value = "";
      filter();
      target.scrollIntoView();
    }
  });
})();
