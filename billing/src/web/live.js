// Refreshes what is live on the overview: fetches the page again and takes its part. Without it the page still works.
"use strict";
(() => {
  const EVERY = Number(document.getElementById("live")?.dataset.every) || 15000;
  const refresh = async () => {
    const part = document.getElementById("live");
    // Nobody looks, or somebody is about to use what would be replaced.
    if (!part || document.hidden || part.contains(document.activeElement)) return;
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "error" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("live");
    if (!fresh || part.contains(document.activeElement)) return;
    const open = [...part.querySelectorAll("details")].map((details) => details.open);
    fresh.querySelectorAll("details").forEach((details, place) => { details.open = open[place] || false; });
    part.replaceWith(document.importNode(fresh, true));
  };
  setInterval(() => refresh().catch(() => {}), EVERY);
})();
