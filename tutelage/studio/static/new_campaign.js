// Shows the fields that the chosen kind of judgment needs, and no others.

const form = document.querySelector("#new-campaign");

function fit() {
  for (const part of form.querySelectorAll("[data-for]")) part.hidden = part.dataset.for !== form.elements.kind.value;
}

form.elements.kind.addEventListener("change", fit);
fit();
