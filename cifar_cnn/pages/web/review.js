async function ask(path, options = {}) {
  const headers = {...options.headers, "X-API-Key": find("#key").value};
  try {
    const response = await fetch(path, {...options, headers});
    return await (response.headers.get("content-type").startsWith("image/") ? response.blob() : response.json());
  } catch { return SILENT; }
}

function button(text, action) {
  const made = element("button", text);
  made.type = "button";
  made.onclick = action;
  return made;
}

async function decide(card, vote, decision, label) {
  const body = JSON.stringify({decision, label, reviewer: find("#reviewer").value});
  const told = await ask("/feedback/" + vote.id + "/decision",
    {method: "POST", body, headers: {"Content-Type": "application/json"}});
  if (!told.success) return say("", told.error);
  const next = card.nextElementSibling ?? card.previousElementSibling;
  card.remove();
  say(decision + "ed: " + told.label);
  if (next) next.querySelector("input").focus();
  else if (await load()) find("#queue input").focus();
}

function card(vote) {
  const made = document.createElement("li"), picture = document.createElement("img"), label = element("label", "It is: ");
  const name = document.createElement("input"), said = vote.said ? vote.said + ", " + percent(vote.confidence) : "nothing";
  name.setAttribute("list", "classes");
  name.value = vote.label;
  name.maxLength = 40;
  label.append(name);
  picture.alt = "the picture of this vote";
  ask("/feedback/" + vote.id + "/image").then(blob => { if (blob instanceof Blob) picture.src = URL.createObjectURL(blob); });
  picture.onload = () => URL.revokeObjectURL(picture.src);
  const when = new Date(1000 * vote.time).toISOString().slice(0, 16).replace("T", " ");
  made.append(element("h2", vote.verdict + ": " + vote.label), picture,
    element("p", "The network said: " + said + ". User " + vote.contributor.slice(0, 6) + ", " + when + " UTC."), label,
    button("Accept", () => decide(made, vote, "accept", name.value)), button("Reject", () => decide(made, vote, "reject", "")));
  return made;
}

async function load() {
  say("Loading …");
  const told = await ask("/feedback?count=20");
  if (!told.success) { say("", told.error); return 0; }
  say(told.count === 0 ? "Nothing waits for a decision." : told.count + " votes wait for a decision.");
  find("#classes").replaceChildren(...told.classes.map(name => Object.assign(document.createElement("option"), {value: name})));
  find("#queue").replaceChildren(...told.votes.map(card));
  return told.votes.length;
}

find("#enter").onsubmit = event => { event.preventDefault(); load(); };
