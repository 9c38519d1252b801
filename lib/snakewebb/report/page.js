// The picture of a product: tiles, and what can be laid over them.
"use strict";
const page = JSON.parse(document.getElementById("picture").textContent);
const tiles = JSON.parse(document.getElementById("tiles").textContent);
// A place on the map is (row, column) in pixels of the finest scale, from the lower left corner.
const place = (x, y) => [(y + 0.5) / page.factor, (x + 0.5) / page.factor];
const [ny, nx] = page.shape;
const bounds = [[0, 0], [ny, nx]];
const map = L.map("map", {
  crs: L.CRS.Simple, preferCanvas: true, zoomSnap: 0.25, zoomDelta: 0.5,
  minZoom: page.zooms - 2, maxZoom: 5, maxBounds: L.latLngBounds(bounds).pad(0.5),
});

const Picture = L.GridLayer.extend({
  createTile(at, done) {
    const data = tiles[`${at.z}/${at.x}/${at.y}`];
    if (!data) {
      // An image without a source would be drawn as a frame.
      const nothing = document.createElement("div");
      setTimeout(() => done(null, nothing));
      return nothing;
    }
    const image = document.createElement("img");
    image.alt = "";
    image.className = "tile";
    image.onload = () => done(null, image);
    image.onerror = () => done(new Error("a tile is broken"), image);
    image.src = `data:image/jpeg;base64,${data}`;
    return image;
  },
});
new Picture({ minNativeZoom: page.zooms, maxNativeZoom: 0, minZoom: page.zooms - 2, maxZoom: 5, bounds, noWrap: true })
  .on("load", () => { document.body.dataset.tiles = "loaded"; })
  .addTo(map);

function circles(layer) {
  return L.layerGroup(layer.rows.map(([x, y, words]) =>
    L.circleMarker(place(x, y), { radius: layer.radius, weight: 1.6, color: layer.color, fillOpacity: 0 }).bindPopup(words)));
}

function picture(layer) {
  const [left, low, right, high] = layer.box;
  return L.imageOverlay(layer.image, [place(left, low), place(right, high)], { opacity: 0.6, className: "pixels" });
}

function arrow(x, y, u, v, color) {
  const [dx, dy] = [u - x, v - y];
  const barb = (turn) => place(u - 0.3 * (dx - turn * dy), v - 0.3 * (dy + turn * dx));
  return L.polyline([place(x, y), place(u, v), barb(0.6), place(u, v), barb(-0.6)], { color, weight: 1.6, interactive: false });
}

function arrows(layer) {
  const drawn = layer.rows.map(([x, y, u, v, k]) => arrow(x, y, u, v, layer.colors[k]));
  const [length, words] = layer.key;
  const low = -0.03 * ny * page.factor;
  drawn.push(arrow(0, low, length, low, "white").bindTooltip(words, { permanent: true, direction: "right" }));
  return L.layerGroup(drawn);
}

const kinds = { circles, picture, arrows };
const control = L.control.layers(null, null, { collapsed: false }).addTo(map);
for (const layer of page.layers) {
  const drawn = kinds[layer.kind](layer);
  let name = layer.name;
  if (layer.color) name += ` <span class="key" style="border-color: ${layer.color}"></span>`;
  if (layer.bar) name += `<span class="bar" style="background: linear-gradient(to right, ${layer.bar})"></span>`;
  control.addOverlay(drawn, name);
  if (layer.shown) drawn.addTo(map);
}
map.fitBounds(bounds);
map.attributionControl.setPrefix('<a href="https://leafletjs.com">Leaflet</a>');

// Where the pointer is on the sky: a gnomonic projection.
const readout = L.control({ position: "bottomleft" });
readout.onAdd = () => {
  const box = L.DomUtil.create("div");
  box.id = "place";
  return box;
};
readout.addTo(map);
map.on("mousemove", ({ latlng }) => {
  const { crval, crpix, cdelt, pc } = page.grid;
  const radians = Math.PI / 180;
  const [x, y] = [latlng.lng * page.factor - 0.5, latlng.lat * page.factor - 0.5];
  const [u, v] = [x - crpix[0], y - crpix[1]];
  const [xi, eta] = pc.map(([a, b]) => (a * u + b * v) * cdelt * radians);
  const [a0, d0] = crval.map((value) => value * radians);
  const down = Math.cos(d0) - eta * Math.sin(d0);
  const ra = ((a0 + Math.atan2(xi, down)) / radians + 360) % 360;
  const dec = Math.atan2(Math.sin(d0) + eta * Math.cos(d0), Math.hypot(xi, down)) / radians;
  document.getElementById("place").textContent =
    `RA ${ra.toFixed(6)}°  Dec ${dec.toFixed(6)}°  x ${x.toFixed(1)}  y ${y.toFixed(1)}`;
});
// Where North and East are.
const compass = L.control({ position: "bottomright" });
compass.onAdd = () => {
  const [[a, b], [c, d]] = page.grid.pc;
  const det = a * d - b * c;
  const ways = { N: [-b / det, a / det], E: [d / det, -c / det] };
  const drawn = Object.entries(ways).map(([name, [u, v]]) => {
    const at = (length) => [length * u, -length * v].map((value) => value.toFixed(1));
    const [[x, y], [left, low]] = [at(22), at(31)];
    return `<line x2="${x}" y2="${y}"/><text x="${left}" y="${low}">${name}</text>`;
  });
  const box = L.DomUtil.create("div");
  box.innerHTML = `<svg id="compass" viewBox="-40 -40 80 80">${drawn.join("")}</svg>`;
  return box;
};
compass.addTo(map);
document.body.dataset.ready = "yes";
