// What every page needs of a script: the token on requests that htmx makes, and questions before what cannot be undone.

export const csrf = document.querySelector('meta[name="csrf"]')?.content ?? "";

document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRF-Token"] = csrf;
});

document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm ?? event.target.dataset?.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  navigator.clipboard?.writeText(button.dataset.copy).then(() => { button.textContent = button.dataset.copied; }, () => {});
});

document.addEventListener("change", (event) => {
  const chosen = event.target.closest?.("[data-submits]");
  if (chosen) chosen.form.requestSubmit();
});
