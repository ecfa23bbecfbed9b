const find = selector => document.querySelector(selector);
const percent = share => (100 * share).toFixed(1) + " %";
const SILENT = {success: false, error: "the server does not answer: is it still running?"};
let latest = 0;

function say(status, error = "") {
  find("#status").textContent = status;
  find("#error").textContent = error;
}

function element(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

function row([name, share]) {
  const made = document.createElement("tr"), cell = document.createElement("td"), bar = element("div", "", "bar");
  const head = element("th", name);
  head.scope = "row";
  bar.style.width = 100 * share + "%";
  cell.append(bar);
  cell.setAttribute("aria-hidden", "true");
  made.append(head, cell, element("td", percent(share), "number"));
  return made;
}

function show(answer) {
  find("#answer h2").textContent = answer.prediction + ", " + percent(answer.confidence);
  find("#doubt").hidden = answer.in_distribution;
  find("#answer ol").replaceChildren(
    ...answer.top3_predictions.map(top => element("li", top.class + " " + percent(top.confidence))));
  find("#answer tbody").replaceChildren(...Object.entries(answer.probabilities).map(row));
  find("#answer").hidden = false;
}
