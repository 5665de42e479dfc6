// The page of a map without a server program: it reads copies of the rasters from the host and draws them itself.
// Tests wait for window.__ready and read window.__errors.
import { Copy } from './copies.js';
import { drawPanel, escapeText, make, readable, sizeOf } from './panel.js';

window.__ready = false;
window.__errors = [];

const page = document.documentElement;
const byId = (id) => document.getElementById(id);
const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
const dark = matchMedia('(prefers-color-scheme: dark)');
const narrow = matchMedia('(max-width: 720px)');
// Sharp on dense screens: tiles of 512 pixels are shown at half the size.
const tileSize = devicePixelRatio > 1 ? 256 : 512;
const UNASKED = 8e6; // bytes of a whole file that are downloaded without asking

const state = { layers: [], shown: new Set(), opacity: new Map() };
const copies = new Map();
const whole = { taken: new Set(), waiting: new Map(), allowed: new Set() };
let library = null;
let map = null;
let popup = null;
let chosen = ''; // the theme of the button; else that of the system

function report(message) {
  const text = String(message);
  if (window.__errors.at(-1) === text) return; // each tile of a broken layer says the same
  window.__errors.push(text);
  const toast = make('p', { textContent: text });
  byId('toasts').append(toast);
  setTimeout(() => toast.remove(), 12000);
}
addEventListener('error', (event) => report(event.message));
addEventListener('unhandledrejection', (event) => report(event.reason?.message ?? event.reason));

function showEmpty(title, text, code) {
  document.body.classList.add('without-map');
  byId('panel').hidden = true;
  byId('empty').hidden = false;
  byId('empty-title').textContent = title;
  byId('empty-text').textContent = text;
  byId('empty-code').textContent = code;
}

// ---- hosts that send whole files -----------------------------------------------------------------------------------

// Called when a host answers a range request with the whole file: true if it may be downloaded now.
function mayTakeWhole(layer, file) {
  if (file.fileSize > UNASKED && !whole.allowed.has(layer.id)) {
    whole.waiting.set(layer.id, layer);
    explainHost();
    return false;
  }
  whole.taken.add(layer.id);
  explainHost();
  return true;
}

function explainHost() {
  const waiting = [...whole.waiting.values()];
  const taken = state.layers.filter((layer) => whole.taken.has(layer.id));
  const total = taken.reduce((sum, layer) => sum + layer.copy.bytes, 0);
  const parts = [make('p', {
    textContent: 'This host sends whole files instead of the parts that are looked at'
      + (taken.length ? `; ${sizeOf(total)} were downloaded.` : '.'),
  })];
  for (const layer of waiting) {
    const button = make('button', { type: 'button', id: `take-${layer.id}`, textContent: `Download ${sizeOf(layer.copy.bytes)} to draw ${layer.title}` });
    button.addEventListener('click', () => {
      whole.allowed.add(layer.id);
      whole.waiting.delete(layer.id);
      explainHost();
      redrawLayer(layer);
    });
    parts.push(button);
  }
  byId('host').replaceChildren(...parts);
  byId('host').hidden = false;
}

let round = 0;
function redrawLayer(layer) {
  round += 1;
  busy();
  map.getSource(layer.id).setTiles([address(layer)]);
}

// ---- drawing -------------------------------------------------------------------------------------------------------

const address = (layer) => `cog://${layer.id}/{z}/{x}/{y}/${round}`;

async function drawTile(request) {
  const [id, zoom, column, row] = request.url.slice('cog://'.length).split('/');
  const empty = () => createImageBitmap(new ImageData(1, 1));
  try {
    const pixels = await copies.get(id).tile(Number(zoom), Number(column), Number(row));
    return { data: await (pixels ? createImageBitmap(pixels) : empty()) };
  } catch (error) {
    if (error.name === 'NotYet') return { data: await empty() };
    throw new Error(`${titleOf(id)} cannot be drawn. ${error.message}`);
  }
}

const titleOf = (id) => state.layers.find((layer) => layer.id === id)?.title ?? id;

function styleOf() {
  const sources = {};
  const drawn = [{ id: 'ground', type: 'background', paint: { 'background-color': groundColour() } }];
  const bottomUp = [...state.layers].reverse().sort((a, b) => (a.role === 'overlay') - (b.role === 'overlay'));
  for (const layer of bottomUp) {
    const [west, south, east, north] = layer.bounds;
    sources[layer.id] = {
      type: 'raster', tileSize, tiles: [address(layer)], attribution: escapeText(layer.attribution),
      maxzoom: layer.copy.zoom,
      ...(east <= 180 ? { bounds: [west, south, east, north] } : {}),
    };
    drawn.push({
      id: layer.id, type: 'raster', source: layer.id,
      layout: { visibility: state.shown.has(layer.id) ? 'visible' : 'none' },
      paint: {
        'raster-opacity': state.opacity.get(layer.id),
        'raster-fade-duration': still ? 0 : 200,
        'raster-resampling': layer.kind === 'categorical' ? 'nearest' : 'linear',
      },
    });
  }
  return { version: 8, sources, layers: drawn };
}

function setTheme() {
  page.dataset.theme = chosen || (dark.matches ? 'dark' : 'light');
}

function groundColour() {
  return getComputedStyle(page).getPropertyValue('--ground').trim();
}

function busy() {
  window.__ready = false;
  byId('progress').classList.add('busy');
  map.triggerRepaint();
}

function makeMap() {
  map = new library.Map({
    container: 'map', style: styleOf(), hash: 'map', attributionControl: false, minZoom: 0, maxZoom: 20, maxPitch: 0,
    dragRotate: false, pitchWithRotate: false, touchPitch: false, fadeDuration: 0, renderWorldCopies: true, ...firstView(),
  });
  map.touchZoomRotate.disableRotation();
  map.keyboard.disableRotation();
  map.on('error', (event) => report(event.error?.message ?? 'The map could not be drawn.'));
  map.on('movestart', () => { window.__ready = false; });
  map.on('idle', () => {
    window.__ready = true;
    byId('progress').classList.remove('busy');
  });
  map.on('click', (event) => readValues(event.lngLat));
  map.getCanvas().addEventListener('keydown', (event) => {
    if (event.key === 'Enter') readValues(map.getCenter());
    if (event.key === 'Escape') popup?.remove();
  });
  map.setPadding(room());
  map.addControl(new library.AttributionControl({ compact: narrow.matches }), 'bottom-right');
  map.addControl(new library.ScaleControl({ maxWidth: 120, unit: 'metric' }), 'bottom-right');
  map.addControl(new library.NavigationControl({ showCompass: false }), 'top-right');
}

function firstView() {
  const lead = state.layers.find((layer) => layer.role === 'overlay') ?? state.layers[0];
  const [west, south, east, north] = lead.bounds;
  return { bounds: [[west, south], [east, north]], fitBoundsOptions: { padding: 40 } };
}

// The panel covers a part of the map: the centre of the view is the centre of what is left.
function room() {
  const covered = { left: 0, top: 0, right: 0, bottom: 0 };
  if (document.body.classList.contains('folded')) return covered;
  return { ...covered, ...(narrow.matches ? { bottom: Math.round(innerHeight * 0.46) } : { left: 360 }) };
}

function apply() {
  for (const layer of state.layers) {
    map.setLayoutProperty(layer.id, 'visibility', state.shown.has(layer.id) ? 'visible' : 'none');
    map.setPaintProperty(layer.id, 'raster-opacity', state.opacity.get(layer.id));
  }
  map.setPaintProperty('ground', 'background-color', groundColour());
  busy();
}

function redraw() {
  drawPanel(byId('cards'), state, {
    toggle: (id, on) => { state.shown[on ? 'add' : 'delete'](id); redraw(); },
    fade: (id, share) => { state.opacity.set(id, share); apply(); },
  });
  apply();
}

// ---- values --------------------------------------------------------------------------------------------------------

async function readValues(place) {
  const here = place.wrap();
  const asked = state.layers.filter((layer) => layer.kind !== 'colour' && state.shown.has(layer.id));
  const list = make('dl');
  for (const row of await Promise.all(asked.map((layer) => readLayer(layer, here)))) list.append(...row);
  const box = make('div', { className: 'values' },
    make('p', { className: 'place', textContent: `${degrees(here.lat, 'N', 'S')}  ${degrees(here.lng, 'E', 'W')}` }),
    ...(list.children.length ? [] : ['No layer has data here.']), list);
  popup?.remove();
  popup = new library.Popup({ maxWidth: '280px', focusAfterOpen: false }).setLngLat(place).setDOMContent(box).addTo(map);
}

// Title and value of a layer at a place; nothing where it has none or cannot be read.
async function readLayer(layer, here) {
  let value;
  try {
    value = await copies.get(layer.id).value(here.lng, here.lat);
  } catch (error) {
    if (error.name !== 'NotYet') report(`${layer.title} cannot be read. ${error.message}`);
    return [];
  }
  if (value === null) return [];
  const text = make('dd');
  if (layer.kind === 'categorical') {
    const entry = layer.legend.find((each) => each.value === value);
    const swatch = make('i');
    swatch.style.backgroundColor = entry?.colour ?? 'transparent';
    text.append(swatch, entry?.name ?? `${value} (not in the legend)`);
  } else text.append(readable(value, layer.unit));
  return [make('dt', { textContent: layer.title }), text];
}

function degrees(value, positive, negative) {
  return `${Math.abs(value).toFixed(4)}° ${value < 0 ? negative : positive}`;
}

// ---- start ---------------------------------------------------------------------------------------------------------

function wireButtons() {
  byId('theme').addEventListener('click', () => {
    chosen = page.dataset.theme === 'dark' ? 'light' : 'dark';
    setTheme();
    apply();
  });
  byId('fold').addEventListener('click', () => {
    const folded = document.body.classList.toggle('folded');
    byId('fold').setAttribute('aria-expanded', String(!folded));
    map.easeTo({ padding: room(), duration: still ? 0 : 300 });
  });
  narrow.addEventListener('change', () => map.setPadding(room()));
  dark.addEventListener('change', () => { setTheme(); apply(); });
}

function adopt(description) {
  byId('title').textContent = description.title;
  document.title = description.title;
  const count = description.layers.length;
  byId('subtitle').textContent = `${count} layer${count === 1 ? '' : 's'}`;
  state.layers = description.layers;
  for (const layer of state.layers) {
    copies.set(layer.id, new Copy(layer, mayTakeWhole));
    state.opacity.set(layer.id, layer.opacity);
    if (layer.visible) state.shown.add(layer.id);
  }
}

async function describe() {
  const answer = await fetch('site.json', { cache: 'no-cache' });
  if (!answer.ok) throw new Error(`The host answered ${answer.status} for site.json.`);
  return answer.json();
}

async function start() {
  let description;
  try {
    description = await describe();
    library = await import('../vendor/maplibre-gl.js');
    if (!window.GeoTIFF) throw new Error('vendor/geotiff.js is missing.');
  } catch (error) {
    showEmpty('The map cannot be loaded', 'A file of this folder is missing on the host or cannot be read. Write the folder again and copy all of it:', 'swath map PLACE --static FOLDER');
    report(error.message);
    return;
  }
  library.setWorkerUrl(new URL('../vendor/maplibre-gl-worker.js', import.meta.url).href);
  library.addProtocol('cog', drawTile);
  byId('empty').hidden = true;
  byId('panel').hidden = false;
  document.body.classList.remove('without-map');
  adopt(description);
  wireButtons();
  makeMap();
  map.once('load', redraw);
}

setTheme();
await start();
