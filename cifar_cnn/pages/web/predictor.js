// What the page does. The network and its runtime are loaded when the first picture is given, not before.

const find = name => document.getElementById("try-" + name);
const percent = share => (100 * share).toFixed(1) + "%";
const MOST_ROWS = 20;
const INEXACT = ". This browser changes the pixels that a page reads: the answer may be another than Python's.";
let network, latest = 0;

function say(status, error = "") {
  find("status").textContent = status;
  find("error").textContent = error;
}

function element(name, text, className = "") {
  return Object.assign(document.createElement(name), {textContent: text, className});
}

// --- The network ---

function progress(loaded, all) {
  Object.assign(find("progress"), {hidden: false, max: all, value: loaded});
}

// The network, loaded once. After a failure the next picture tries again.
function ready() {
  network ??= import("./network.js").then(module => module.load(progress)).catch(error => {
    network = undefined;
    throw new Error(`cannot load the network: ${error.message}. Check the connection and try again.`);
  }).finally(() => { find("progress").hidden = true; });
  return network;
}

// --- A picture and its answer ---

function draw(canvas, picture, size) {
  const pixels = size * size, channel = picture.length === pixels ? 0 : pixels, image = new ImageData(size, size);
  for (let at = 0; at < pixels; at++) {
    image.data.set([picture[at], picture[at + channel], picture[at + 2 * channel], 255], 4 * at);
  }
  Object.assign(canvas, {width: size, height: size}).getContext("2d").putImageData(image, 0, 0);
}

function row(name, share, best) {
  const made = element("tr", "", best ? "best" : ""), cell = document.createElement("td"), bar = element("div", "", "bar");
  const head = Object.assign(element("th", name), {scope: "row"});
  bar.style.width = 100 * share + "%";
  cell.append(bar);
  cell.setAttribute("aria-hidden", "true");
  made.append(head, cell, element("td", percent(share), "number"));
  return made;
}

function show(picture, {probabilities, familiar}, {classes, image_size: size}) {
  const best = probabilities.indexOf(Math.max(...probabilities)), answer = `${classes[best]}, ${percent(probabilities[best])}`;
  find("label").textContent = familiar ? answer : "Perhaps none of these";
  find("closest").textContent = "Closest: " + answer;
  find("doubt").hidden = find("closest").hidden = familiar;
  draw(find("seen"), picture, size);
  const order = classes.map((_, at) => at), byProbability = (one, other) => probabilities[other] - probabilities[one];
  const shown = classes.length > MOST_ROWS ? order.sort(byProbability).slice(0, MOST_ROWS) : order;
  find("rows").replaceChildren(...shown.map(at => row(classes[at], probabilities[at], at === best)));
  find("map-figure").hidden = true;
  find("why").disabled = find("why").hidden = false;
  find("why").onclick = () => explain(picture, best, probabilities[best], classes[best], size);
  find("answer").hidden = false;
}

async function classify(source, name) {
  const mine = ++latest, preview = find("preview");
  stopCamera();
  find("answer").hidden = true;
  say(network ? `Looking at ${name} …` : `Loading the network, only once … then looking at ${name}`);
  try {
    const asked = await ready(), blob = await source, picture = await asked.prepare(blob).catch(error => {
      throw new Error(`cannot read ${name}: ${error.message}. Choose another one.`);
    });
    const [answer] = await asked.ask([picture]);
    if (mine !== latest) return;
    URL.revokeObjectURL(preview.src);
    Object.assign(preview, {src: URL.createObjectURL(blob), alt: "your picture, " + name});
    preview.onload = () => preview.classList.toggle("small", preview.naturalWidth < 100);
    show(picture, answer, asked.facts);
    asked.offline.then(works => { find("offline").hidden = !works; });
    say(asked.ways.exact ? name : name + INEXACT);
  } catch (error) {
    if (mine === latest) say("", error.message);
  }
}

// --- Where it looks ---

const PLACES = [["upper left", "top", "upper right"], ["left", "centre", "right"], ["lower left", "bottom", "lower right"]];

// The picture, darker where the grey patch costs little.
function drawMap(canvas, picture, size, {cells, losses}) {
  const most = Math.max(...losses), shade = new ImageData(cells, cells), small = document.createElement("canvas");
  losses.forEach((loss, at) => { shade.data[4 * at + 3] = 180 * (1 - Math.sqrt(Math.max(0, loss) / most)); });
  Object.assign(small, {width: cells, height: cells}).getContext("2d").putImageData(shade, 0, 0);
  const plain = document.createElement("canvas");
  draw(plain, picture, size);
  const context = Object.assign(canvas, {width: 256, height: 256}).getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(plain, 0, 0, 256, 256);
  context.imageSmoothingEnabled = true;
  context.drawImage(small, 0, 0, 256, 256);
}

async function explain(picture, label, share, name, size) {
  const mine = latest, status = find("status").textContent, why = find("why");
  why.disabled = true;
  say("Hiding one part after the other …");
  const map = await (await ready()).occlude(picture, label);
  if (mine !== latest) return;
  say(status);
  const most = Math.max(...map.losses), at = map.losses.indexOf(most), third = cell => Math.trunc(3 * cell / map.cells);
  const place = PLACES[third(Math.trunc(at / map.cells))][third(at % map.cells)];
  find("map-note").textContent = most < 0.001 ? `No single patch matters to “${name}”.`
    : `Bright: what “${name}” rests on. A grey patch there (${place}) takes ${percent(share)} to ${percent(share - most)}.`;
  find("map").hidden = most < 0.001;
  if (most >= 0.001) drawMap(find("map"), picture, size, map);
  find("map-figure").hidden = false;
  why.hidden = true;
}

// --- The camera ---

function stopCamera() {
  find("video").srcObject?.getTracks().forEach(track => track.stop());
  find("video").srcObject = null;
  find("live").hidden = true;
  find("camera").hidden = !navigator.mediaDevices;
}

async function startCamera() {
  latest++;  // an answer that is still awaited is not wanted any more
  find("answer").hidden = true;
  say("Waiting for the camera …");
  try {
    find("video").srcObject = await navigator.mediaDevices.getUserMedia({video: {facingMode: "environment"}});
    await find("video").play();
    find("live").hidden = false;
    find("camera").hidden = true;
    say("");
    find("take").focus();
  } catch (error) {
    stopCamera();
    const refused = error.name === "NotAllowedError";
    say("", refused ? "The camera was not allowed: choose a file, or allow it in the browser's settings."
      : `The camera cannot be used (${error.message}): choose a file.`);
  }
}

async function takePicture() {
  const video = find("video"), canvas = document.createElement("canvas");
  Object.assign(canvas, {width: video.videoWidth, height: video.videoHeight}).getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob(blob => classify(blob, "the camera's picture"));
}

// --- What people do ---

find("file").onchange = event => {
  const [file] = event.target.files;
  if (file) classify(file, file.name);
  event.target.value = "";
};
document.addEventListener("dragover", event => {
  event.preventDefault();
  find("drop").classList.add("over");
});
document.addEventListener("dragleave", () => find("drop").classList.remove("over"));
document.addEventListener("drop", event => {
  event.preventDefault();
  find("drop").classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) classify(file, file.name);
  else say("", "That was no file: save the picture first, then drop it here.");
});
document.addEventListener("paste", event => {
  const [file] = event.clipboardData.files;
  if (file) classify(file, file.name);
});
find("samples")?.addEventListener("click", event => {
  const image = event.target.closest("button")?.querySelector("img");
  if (image) classify(fetch(image.src).then(response => response.blob()), image.alt);
});
find("camera").onclick = startCamera;
find("take").onclick = takePicture;
find("stop").onclick = () => {
  stopCamera();
  find("camera").focus();
};
find("camera").hidden = !navigator.mediaDevices;
find("it").hidden = false;
find("wait").hidden = true;
