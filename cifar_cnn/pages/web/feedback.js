const verdicts = find("#feedback").querySelectorAll("button[value]");
let said = null;  // the file that was asked about, and the answer

function choose(verdict) {
  verdicts.forEach(button => { if (button.hasAttribute("aria-expanded")) button.ariaExpanded = button.value === verdict; });
  find("#which").hidden = !verdict;
  find("#which").dataset.verdict = verdict;
  find("#known").hidden = verdict !== "wrong";
  find("#named").hidden = verdict !== "new";
  find("#taken").textContent = find("#refused").textContent = "";
  if (verdict) find(verdict === "wrong" ? "#known select" : "#named input").focus();
}

async function vote(verdict, label) {
  const form = new FormData(), mine = said;
  for (const [name, value] of Object.entries({receipt: mine.answer.receipt, verdict, label})) form.append(name, value);
  form.append("image", mine.file, mine.file.name);
  choose("");
  find("#taken").textContent = "Sending …";
  let told;
  try {
    const response = await fetch("/feedback", {method: "POST", body: form, headers: {"X-API-Key": find("#key input").value}});
    told = await response.json();
  } catch { told = SILENT; }
  if (mine !== said) return;
  find("#taken").textContent = told.success ? "Thank you: " + label + ". A person will look at it." : "";
  find("#refused").textContent = told.success ? "" : told.error;
}

document.addEventListener("asking", () => { find("#feedback").hidden = true; });
document.addEventListener("answered", event => {
  said = event.detail;
  if (!said.answer.receipt) return;
  const others = Object.keys(said.answer.probabilities).filter(name => name !== said.answer.prediction);
  find("#known select").replaceChildren(...others.map(name => element("option", name)));
  find("#named input").value = "";
  choose("");
  find("#feedback").hidden = false;
});
verdicts.forEach(button => {
  button.onclick = () => button.value === "right" ? vote("right", said.answer.prediction) : choose(button.value);
});
find("#which").onsubmit = event => {
  event.preventDefault();
  const verdict = find("#which").dataset.verdict, name = find("#named input").value.trim();
  if (verdict === "wrong") return vote(verdict, find("#known select").value);
  if (name) return vote(verdict, name);
  find("#refused").textContent = "Write what it is.";
};
