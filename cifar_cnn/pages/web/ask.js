async function classify(file) {
  const mine = ++latest, form = new FormData(), preview = find("#preview"), limit = Number(find("#file").dataset.limit);
  if (file.size > limit) {  // the server would refuse it while it is still being sent, which browsers take for a failure
    find("#answer").hidden = preview.hidden = true;
    document.dispatchEvent(new Event("asking"));
    return say("", file.name + " is larger than " + limit / 1e6 + " MB: choose a smaller picture");
  }
  form.append("image", file, file.name);
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  preview.alt = "your picture, " + file.name;
  preview.hidden = false;
  find("#answer").hidden = true;
  document.dispatchEvent(new Event("asking"));
  say("Looking at " + file.name + " …");
  let answer;
  try {
    const response = await fetch("/predict",
      {method: "POST", body: form, headers: {"X-API-Key": find("#key input").value}});
    if (response.status === 401) find("#key").hidden = false;
    answer = await response.json();
  } catch { answer = SILENT; }
  if (mine !== latest) return;
  if (!answer.success) { preview.hidden = true; return say("", answer.error); }
  say(file.name);
  show(answer);
  document.dispatchEvent(new CustomEvent("answered", {detail: {file, answer}}));
}

find("#address").textContent = location.origin;
find("#preview").onerror = event => { event.target.hidden = true; };  // a format that this browser cannot show
find("#file").onchange = event => { if (event.target.files[0]) classify(event.target.files[0]); event.target.value = ""; };
document.ondragover = event => { event.preventDefault(); find("#drop").classList.add("over"); };
document.ondragleave = () => find("#drop").classList.remove("over");
document.ondrop = event => {
  event.preventDefault();
  find("#drop").classList.remove("over");
  if (event.dataTransfer.files[0]) classify(event.dataTransfer.files[0]);
};
document.onpaste = event => { if (event.clipboardData.files[0]) classify(event.clipboardData.files[0]); };
