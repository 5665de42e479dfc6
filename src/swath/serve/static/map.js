// The page: two synchronised maps (the second one only while comparing), a panel, values on click.
// Tests wait for window.__ready and read window.__errors.
import { Measure } from './area.js';
import { Drawing } from './draw.js';
import { valuesBox } from './make.js';
import { drawPanel, escapeText } from './panel.js';
import { makeDivider } from './swipe.js';

window.__ready = false;
window.__errors = [];

const page = document.documentElement;
const byId = (id) => document.getElementById(id);
const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
const dark = matchMedia('(prefers-color-scheme: dark)');
const narrow = matchMedia('(max-width: 639px)');
// Sharp on dense screens without four times the requests: the server draws 512 pixels, shown at half the size.
const tileSize = devicePixelRatio > 1 ? 256 : 512;

const state = {
  layers: [], shown: new Set(), opacity: new Map(), comparing: false, left: '', right: '', globe: true,
  unsure: false,
};
const maps = {};
const idle = new Set();
const styled = new WeakSet();
let library = null;
let popup = null;
let chosen = ''; // the theme of the button; else that of the system

function report(message) {
  window.__errors.push(String(message));
  const toast = document.createElement('p');
  toast.textContent = String(message);
  byId('toasts').append(toast);
  setTimeout(() => toast.remove(), 8000);
}
addEventListener('error', (event) => report(event.message));
addEventListener('unhandledrejection', (event) => report(event.reason?.message ?? event.reason));

function showEmpty(title, text, code) {
  byId('empty').hidden = false;
  byId('empty-title').textContent = title;
  byId('empty-text').textContent = text;
  byId('empty-code').textContent = code;
  byId('panel').hidden = true;
  document.body.classList.add('without-map');
}

async function ask(address) {
  const answer = await fetch(address);
  const content = await answer.json().catch(() => ({ error: `The server answered ${answer.status}.` }));
  if (!answer.ok) throw new Error(content.error ?? `The server answered ${answer.status}.`);
  return content;
}

// ---- which layer is seen where -------------------------------------------------------------------------------------

function seen(layer, side) {
  if (!state.comparing || layer.role === 'basemap') return state.shown.has(layer.id);
  return layer.id === (side === 'before' ? state.left : state.right);
}

function styleFor(side) {
  const sources = {};
  const drawn = [{ id: 'ground', type: 'background', paint: { 'background-color': groundColour() } }];
  const bottomUp = [...state.layers].reverse().sort((a, b) => (a.role === 'overlay') - (b.role === 'overlay'));
  for (const layer of bottomUp) {
    const [west, south, east, north] = layer.bounds;
    sources[layer.id] = {
      type: 'raster', tileSize, maxzoom: layer.max_zoom,
      tiles: tilesOf(layer),
      attribution: escapeText(layer.attribution),
      ...(west < east ? { bounds: [west, south, east, north] } : {}),
    };
    drawn.push({
      id: layer.id, type: 'raster', source: layer.id,
      layout: { visibility: seen(layer, side) ? 'visible' : 'none' },
      paint: {
        'raster-opacity': state.opacity.get(layer.id),
        'raster-fade-duration': still ? 0 : 200,
        'raster-resampling': layer.kind === 'categorical' ? 'nearest' : 'linear',
      },
    });
  }
  return { version: 8, projection: { type: state.globe ? 'globe' : 'mercator' }, sources, layers: drawn };
}

function tilesOf(layer) {
  const address = state.unsure && layer.faded_tiles ? layer.faded_tiles : layer.tiles;
  return [`${location.origin}${address}&size=512`];
}

function setTheme() {
  page.dataset.theme = chosen || (dark.matches ? 'dark' : 'light');
}

function groundColour() {
  return getComputedStyle(page).getPropertyValue('--ground').trim();
}

// ---- maps ----------------------------------------------------------------------------------------------------------

function busy() {
  idle.clear();
  window.__ready = false;
  byId('progress').classList.add('busy');
  for (const map of Object.values(maps)) map.triggerRepaint();
}

function settled(side) {
  idle.add(side);
  if (!Object.keys(maps).every((name) => idle.has(name))) return;
  window.__ready = true;
  byId('progress').classList.remove('busy');
}

function makeMap(side, view) {
  const map = new library.Map({
    container: side, style: styleFor(side), hash: side === 'before' ? 'map' : false, attributionControl: false,
    minZoom: 0, maxZoom: 19, maxPitch: 0, dragRotate: false, pitchWithRotate: false, touchPitch: false,
    fadeDuration: 0, renderWorldCopies: true, ...view,
  });
  map.touchZoomRotate.disableRotation();
  map.keyboard.disableRotation();
  map.on('error', (event) => report(event.error?.message ?? 'The map could not be drawn.'));
  map.on('movestart', () => { window.__ready = false; idle.clear(); });
  map.once('style.load', () => { styled.add(map); drawing.addTo(map); apply(); });
  map.on('idle', () => settled(side));
  map.on('click', (event) => {
    if (drawing.active) return;
    // A click beside the globe is answered with its edge: there is nothing to read.
    if (map.project(event.lngLat).dist(event.point) < 4) readValues(event.lngLat);
  });
  map.on('move', (event) => follow(side, event));
  map.getCanvas().addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !drawing.active) readValues(map.getCenter());
  });
  maps[side] = map;
  return map;
}

function follow(side, event) {
  const other = maps[side === 'before' ? 'after' : 'before'];
  if (!other || event.followed) return;
  const map = maps[side];
  other.jumpTo(
    { center: map.getCenter(), zoom: map.getZoom(), bearing: 0, pitch: 0, padding: map.getPadding() },
    { followed: true },
  );
}

function firstView() {
  const lead = state.layers.find((layer) => layer.role === 'overlay') ?? state.layers[0];
  const [west, south, east, north] = lead.bounds;
  const right = east < west ? east + 360 : east;
  state.globe = right - west > 120;
  if (state.globe) {
    const stage = byId('stage').getBoundingClientRect();
    const covered = room();
    const [width, height] = [stage.width - covered.left, stage.height - covered.bottom];
    return { center: [-40, 16], zoom: Math.max(0, Math.log2(Math.min(width, height) * 1.08 * Math.PI / 512)) };
  }
  return { bounds: [[west, south], [right, north]], fitBoundsOptions: { padding: 40 } };
}

// The panel covers a part of the map: the centre of the view is the centre of what is left.
function room() {
  const covered = { left: 0, top: 0, right: 0, bottom: 0 };
  if (document.body.classList.contains('folded')) return covered;
  return { ...covered, ...(narrow.matches ? { bottom: Math.round(innerHeight * 0.46) } : { left: 360 }) };
}

function addControls(map) {
  map.addControl(new library.AttributionControl({ compact: narrow.matches }), 'bottom-right');
  map.addControl(new library.ScaleControl({ maxWidth: 120, unit: 'metric' }), 'bottom-right');
  map.addControl(new library.NavigationControl({ showCompass: false }), 'top-right');
}

function apply() {
  for (const [side, map] of Object.entries(maps)) {
    if (!styled.has(map)) continue; // it takes the state of the moment once its style is there
    for (const layer of state.layers) {
      map.setLayoutProperty(layer.id, 'visibility', seen(layer, side) ? 'visible' : 'none');
      map.setPaintProperty(layer.id, 'raster-opacity', state.opacity.get(layer.id));
    }
    map.setPaintProperty('ground', 'background-color', groundColour());
  }
  busy();
  remember();
}

// ---- values --------------------------------------------------------------------------------------------------------

async function readValues(place) {
  const here = place.wrap();
  let answer;
  try {
    answer = await ask(`/api/value?lon=${here.lng.toFixed(6)}&lat=${here.lat.toFixed(6)}`);
  } catch (error) {
    report(error.message);
    return;
  }
  const box = valuesBox(answer);
  popup?.remove();
  popup = new library.Popup({ maxWidth: '280px', focusAfterOpen: false }).setLngLat(place).setDOMContent(box).addTo(maps.before);
}

// ---- areas ---------------------------------------------------------------------------------------------------------

const drawing = new Drawing(
  (ring) => measure.take(ring),
  (mode, corners) => {
    measure.follow(mode, corners);
    if (!mode) return;
    popup?.remove();
    const { x, y } = maps.before.project(maps.before.getCenter());
    byId('cross').style.translate = `${x}px ${y}px`;
  },
);
const measure = new Measure(drawing, report);

function setUnsure(on) {
  state.unsure = on;
  for (const map of Object.values(maps)) {
    for (const layer of state.layers) if (layer.faded_tiles) map.getSource(layer.id)?.setTiles(tilesOf(layer));
  }
  busy();
}

// Escape ends what was begun last.
function leave(event) {
  if (event.key !== 'Escape' || event.defaultPrevented) return;
  if (drawing.active) drawing.cancel();
  else if (popup?.isOpen()) popup.remove();
  else if (measure.ring) measure.clear();
}

// ---- comparing -----------------------------------------------------------------------------------------------------

const divider = makeDivider(byId('stage'), byId('divider'), (share) => {
  byId('after').style.clipPath = `inset(0 0 0 ${share * 100}%)`;
});

function setComparing(on) {
  state.comparing = on;
  byId('explore').setAttribute('aria-pressed', String(!on));
  byId('compare').setAttribute('aria-pressed', String(on));
  byId('sides').hidden = !on;
  byId('divider').hidden = !on;
  byId('after').hidden = !on;
  if (on) {
    const view = maps.before;
    const stage = byId('stage').clientWidth;
    divider.set((room().left + stage) / 2 / stage);
    const map = makeMap('after', { center: view.getCenter(), zoom: view.getZoom() });
    map.setPadding(view.getPadding());
  } else if (maps.after) {
    maps.after.remove();
    delete maps.after;
  }
  redraw();
}

function fillSides() {
  for (const [side, select] of [['left', byId('side-left')], ['right', byId('side-right')]]) {
    select.replaceChildren(...state.layers.map((layer) => new Option(
      layer.role === 'basemap' ? `${layer.title} (basemap)` : layer.title, layer.id,
    )));
    select.addEventListener('change', () => { state[side] = select.value; redraw(); });
  }
}

function redraw() {
  byId('side-left').value = state.left;
  byId('side-right').value = state.right;
  const title = (id) => state.layers.find((layer) => layer.id === id)?.title ?? '';
  byId('flag-left').textContent = title(state.left);
  byId('flag-right').textContent = title(state.right);
  drawPanel(byId('cards'), state, {
    toggle: (id, on) => { state.shown[on ? 'add' : 'delete'](id); redraw(); },
    fade: (id, share) => { state.opacity.set(id, share); apply(); },
    ask,
  });
  apply();
}

// ---- the address remembers what is seen ----------------------------------------------------------------------------

function remember() {
  const parts = location.hash.slice(1).split('&').filter((part) => part.startsWith('map='));
  if (state.comparing) parts.push(`compare=${state.left},${state.right}`);
  else parts.push(`on=${[...state.shown].join(',')}`);
  if (!state.globe) parts.push('flat');
  history.replaceState(history.state, '', `#${parts.join('&')}`);
}

function recall() {
  const wanted = new Map(location.hash.slice(1).split('&').map((part) => part.split('=')));
  const known = (name) => state.layers.some((layer) => layer.id === name);
  if (wanted.has('on')) state.shown = new Set(wanted.get('on').split(',').filter(known));
  const sides = (wanted.get('compare') ?? '').split(',').filter(known);
  if (sides.length === 2) [state.left, state.right] = sides;
  return { compare: sides.length === 2, flat: wanted.has('flat') };
}

// ---- start ---------------------------------------------------------------------------------------------------------

function wireButtons() {
  byId('explore').addEventListener('click', () => state.comparing && setComparing(false));
  byId('compare').addEventListener('click', () => state.comparing || setComparing(true));
  byId('globe').addEventListener('click', () => setGlobe(!state.globe));
  byId('theme').addEventListener('click', () => {
    chosen = page.dataset.theme === 'dark' ? 'light' : 'dark';
    setTheme();
    apply();
  });
  byId('fold').addEventListener('click', () => {
    const folded = document.body.classList.toggle('folded');
    byId('fold').setAttribute('aria-expanded', String(!folded));
    maps.before.easeTo({ padding: room(), duration: still ? 0 : 300 });
  });
  byId('unsure').addEventListener('change', (event) => setUnsure(event.target.checked));
  addEventListener('keydown', leave);
  measure.wire();
  dark.addEventListener('change', () => { setTheme(); apply(); });
}

function setGlobe(on) {
  state.globe = on;
  byId('globe').setAttribute('aria-pressed', String(on));
  for (const map of Object.values(maps)) map.setProjection({ type: on ? 'globe' : 'mercator' });
  busy();
  remember();
}

function adopt(description) {
  byId('title').textContent = description.title;
  document.title = `${description.title} · swath`;
  state.layers = description.layers;
  const overlays = state.layers.filter((layer) => layer.role === 'overlay');
  const bases = state.layers.filter((layer) => layer.role === 'basemap');
  const count = (number, word) => `${number} ${word}${number === 1 ? '' : 's'}`;
  byId('subtitle').textContent = count(state.layers.length, 'layer');
  for (const layer of state.layers) {
    state.opacity.set(layer.id, layer.opacity);
    if (layer.visible) state.shown.add(layer.id);
  }
  [state.left, state.right] = [...overlays, ...bases, ...overlays].slice(0, 2).map((layer) => layer.id);
  state.right ??= state.left;
  byId('compare').disabled = state.layers.length < 2;
  byId('certainty').hidden = !state.layers.some((layer) => layer.faded_tiles);
  measure.fill(state.layers, [...overlays, ...bases].find((layer) => state.shown.has(layer.id))?.id);
}

async function start() {
  const description = await ask('/api/layers');
  if (!description.layers.length) {
    showEmpty('No layers yet', 'Make the first map with one command, then open this page again:', 'swath demo');
    window.__ready = true;
    return;
  }
  try {
    library = await import('./vendor/maplibre-gl.mjs');
  } catch {
    showEmpty('The map library is missing', 'It is fetched once, at set-up:', 'python tools/fetch_maplibre.py');
    report('MapLibre GL could not be loaded.');
    return;
  }
  library.setWorkerUrl(new URL('./vendor/maplibre-gl-worker.mjs', import.meta.url).href);
  adopt(description);
  const view = firstView();
  const wanted = recall();
  if (wanted.flat) state.globe = false;
  byId('globe').setAttribute('aria-pressed', String(state.globe));
  fillSides();
  wireButtons();
  const map = makeMap('before', view);
  map.setPadding(room());
  addControls(map);
  narrow.addEventListener('change', () => map.setPadding(room()));
  map.once('load', () => (wanted.compare ? setComparing(true) : redraw()));
}

setTheme();
await start();
