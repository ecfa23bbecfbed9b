// A service worker: without a connection the page is answered from what network.js has kept.

const CACHE = "cifar_cnn " + new URL(".", location.href).href;
const FIXED = /\/(network|runtime)-[^/]*/;  // these names change with their content: what was kept is right

self.oninstall = () => self.skipWaiting();
self.onactivate = event => event.waitUntil(self.clients.claim());

async function answer(request) {
  const cache = await caches.open(CACHE), wanted = request.mode === "navigate" ? "./" : request;
  const found = await cache.match(wanted, {ignoreSearch: true});
  if (found && FIXED.test(new URL(request.url).pathname)) return found;
  try {
    return await fetch(request);
  } catch (error) {
    if (found) return found;
    throw error;
  }
}

self.onfetch = event => {
  if (event.request.method === "GET") event.respondWith(answer(event.request));
};
