// What the console's pages do beyond links and forms: numbers that change, questions before what cannot be undone, and
// theme and language, which the hub's own pages share. Without it everything still works.
"use strict";

const theme = (() => {
  try {
    return localStorage.getItem("jupyterhub-bs-theme");
  } catch {
    return null;
  }
})();
if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;

for (const each of document.querySelectorAll("button[name=language]")) {
  each.addEventListener("click", () => {
    try {
      localStorage.setItem("cellar-language", each.value); // the hub's own pages follow it
    } catch {
      // a browser that keeps nothing
    }
  });
}

document.querySelector(".menu [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }); // on a phone

// --- parts of a page that are asked for again and again, while somebody sees them
for (const part of document.querySelectorAll("[data-live]")) {
  const every = Number(part.dataset.every) || 5000;
  const again = async () => {
    if (!document.hidden && !part.contains(document.activeElement)) {
      try {
        const headers = { Accept: "text/html", "X-XSRFToken": document.querySelector("meta[name=xsrf]").content };
        const answer = await fetch(part.dataset.live, { headers, redirect: "error" });
        if (answer.status === 403) {
          part.classList.add("stale"); // logged out: a reload leads to the log-in
          return;
        }
        if (answer.ok) {
          const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
          part.replaceChildren(...parsed.body.childNodes);
          if (part.dataset.until && !part.querySelector(part.dataset.until)) return location.reload();
          part.classList.remove("stale");
        } else {
          part.classList.add("stale");
        }
      } catch {
        part.classList.add("stale"); // the next one may arrive
      }
    }
    setTimeout(again, every);
  };
  setTimeout(again, every);
}

// --- a choice that acts at once
for (const select of document.querySelectorAll("select[data-submit]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

// --- a question before what cannot be undone
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.confirm || form.dataset.confirmed) return;
  event.preventDefault();
  const dialog = document.createElement("dialog");
  const text = document.createElement("p");
  text.textContent = form.dataset.confirm;
  const yes = document.createElement("button");
  yes.textContent = form.dataset.yes;
  yes.className = "bad";
  const no = document.createElement("button");
  no.textContent = form.dataset.no;
  no.autofocus = true;
  const row = document.createElement("p");
  row.className = "choices";
  row.append(no, yes);
  dialog.append(text, row);
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  no.addEventListener("click", () => dialog.close());
  yes.addEventListener("click", () => {
    form.dataset.confirmed = "yes";
    dialog.close();
    form.requestSubmit(event.submitter);
  });
  dialog.showModal();
});
