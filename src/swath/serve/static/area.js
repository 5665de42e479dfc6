// What a layer holds in the drawn area: asked from the server, shown as a table, taken along as a file.
import { boxRing } from './draw.js';
import { make, percent, readable, save, swatch } from './make.js';

const byId = (id) => document.getElementById(id);
const STATISTICS = [['mean', 'Mean'], ['std', 'Standard deviation'], ['minimum', 'Minimum'], ['maximum', 'Maximum']];

// The rows of a result: name, colour, pixels, area [km²], share; no data last.
export function classRows(found) {
  const rows = found.classes.filter((row) => row.pixels > 0);
  return rows.sort((a, b) => b.area_km2 - a.area_km2);
}

export function classTable(found) {
  const cell = (text) => make('td', { textContent: text });
  const rows = classRows(found).map((row) => {
    const bar = make('span', { className: 'share' });
    bar.style.width = `${100 * row.share}%`;
    if (row.colour) bar.style.backgroundColor = row.colour;
    const name = make('th', { scope: 'row' }, swatch(row.colour), make('span', { textContent: row.name }));
    const last = make('td', {}, percent(row.share), make('span', { className: 'track', ariaHidden: 'true' }, bar));
    return make('tr', { title: `${readable(row.pixels)} pixels` }, name, cell(readable(row.area_km2)), last);
  });
  const heads = ['Class', 'km²', 'Share'].map((text) => make('th', { scope: 'col', textContent: text }));
  return make('table', { className: 'areas' }, make('thead', {}, make('tr', {}, ...heads)), make('tbody', {}, ...rows));
}

export function statisticsTable(found) {
  const told = found.statistics;
  const rows = [
    ...STATISTICS.map(([key, name]) => [name, told[key]]),
    ...Object.entries(told.quantiles).map(([share, value]) => [`${Math.round(share * 100)} % lie below`, value]),
  ];
  return make('table', { className: 'areas' }, make('tbody', {}, ...rows.map(([name, value]) => make('tr', {},
    make('th', { scope: 'row', textContent: name }), make('td', { textContent: readable(value, found.unit) })))));
}

// Comma-separated values with one header line.
export function asCsv(found) {
  const quoted = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ''));
  const lines = found.classes
    ? [['value', 'class', 'pixels', 'area_km2', 'share'],
      ...found.classes.map((row) => [row.value, row.name, row.pixels, row.area_km2, row.share]),
      ['', 'no data', found.nodata_pixels, found.area_km2 - found.valid_km2, '']]
    : [['statistic', 'value', 'unit'],
      ...STATISTICS.map(([key]) => [key, found.statistics?.[key], found.unit]),
      ...Object.entries(found.statistics?.quantiles ?? {}).map(([share, value]) => [`quantile ${share}`, value, found.unit])];
  return `${lines.map((line) => line.map(quoted).join(',')).join('\n')}\n`;
}

async function post(address, question, signal) {
  const answer = await fetch(address, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(question), signal,
  });
  if (answer.ok) return answer;
  const content = await answer.json().catch(() => ({}));
  throw new Error(content.error ?? `The server answered ${answer.status}.`);
}

export class Measure {
  // drawing: where areas are drawn; report(message): tells what went wrong with a download.
  constructor(drawing, report) {
    this.drawing = drawing;
    this.report = report;
    this.ring = null;
    this.asked = null;
  }

  fill(layers, preferred) {
    const usable = layers.filter((layer) => layer.kind !== 'colour');
    byId('area').hidden = !usable.length;
    this.layers = new Map(usable.map((layer) => [layer.id, layer]));
    byId('area-layer').replaceChildren(...usable.map((layer) => new Option(layer.title, layer.id)));
    if (this.layers.has(preferred)) byId('area-layer').value = preferred;
  }

  wire() {
    for (const mode of ['box', 'polygon']) {
      byId(`draw-${mode}`).addEventListener('click', () => {
        if (this.drawing.mode === mode) this.drawing.cancel();
        else { this.clear(); this.drawing.start(mode); }
      });
    }
    byId('area-finish').addEventListener('click', () => this.drawing.finish());
    byId('area-clear').addEventListener('click', () => { this.clear(); byId('draw-box').focus(); });
    byId('area-layer').addEventListener('change', () => this.ring && this.ask());
    byId('area-form').addEventListener('submit', (event) => {
      event.preventDefault();
      const [west, south, east, north] = ['west', 'south', 'east', 'north'].map((name) => byId(name).valueAsNumber);
      this.take(this.drawing.show(boxRing(west, south, east, north)));
    });
  }

  // What the buttons and the hint say while something is drawn.
  follow(mode, corners) {
    for (const name of ['box', 'polygon']) byId(`draw-${name}`).setAttribute('aria-pressed', String(mode === name));
    document.body.classList.toggle('drawing', mode !== '');
    byId('area-finish').hidden = mode !== 'polygon';
    byId('area-finish').disabled = corners < 3;
    byId('area-hint').textContent = {
      '': '',
      box: 'Drag on the map, or click two opposite corners. Keyboard: on the map, move with the arrow keys and press Space for each corner. Escape ends.',
      polygon: 'Click each corner; double-click, Enter or Finish closes. Keyboard: on the map, Space sets a corner at the cross, Backspace takes it back. Escape ends.',
    }[mode];
  }

  take(ring) {
    this.ring = ring;
    const [x, y] = [0, 1].map((axis) => ring.map((corner) => corner[axis]));
    const ends = { west: Math.min(...x), south: Math.min(...y), east: Math.max(...x), north: Math.max(...y) };
    for (const [name, value] of Object.entries(ends)) byId(name).value = String(Number(value.toFixed(6)));
    byId('area-clear').hidden = false;
    return this.ask();
  }

  clear() {
    this.asked?.abort();
    this.ring = null;
    this.drawing.show(null);
    byId('area-clear').hidden = true;
    byId('area-result').replaceChildren();
    byId('area-result').removeAttribute('aria-busy'); // what was asked last is not coming any more
  }

  get question() {
    return { layer: byId('area-layer').value, area: { type: 'Polygon', coordinates: [this.ring] } };
  }

  async ask() {
    this.asked?.abort();
    this.asked = new AbortController();
    const { signal } = this.asked;
    const target = byId('area-result');
    target.setAttribute('aria-busy', 'true');
    try {
      const found = await (await post('/analyse', this.question, signal)).json();
      target.replaceChildren(...this.result(found));
    } catch (error) {
      if (signal.aborted) return;
      target.replaceChildren(make('p', { className: 'problem', textContent: error.message }));
    }
    target.removeAttribute('aria-busy');
  }

  result(found) {
    const parts = [make('p', { className: 'sum' }, make('strong', { textContent: `${readable(found.area_km2)}\u202fkm²` }),
      ` of ${found.title}`, found.nodata_share ? `, ${percent(found.nodata_share)} without data` : '')];
    if (found.note) parts.push(make('p', { className: 'note', textContent: found.note }));
    if (!found.pixels) return parts;
    if (found.classes && classRows(found).length) parts.push(classTable(found));
    if (found.statistics) parts.push(statisticsTable(found));
    const button = (textContent, act) => {
      const made = make('button', { type: 'button', textContent });
      made.addEventListener('click', act);
      return made;
    };
    const name = found.layer;
    parts.push(make('div', { className: 'takes', role: 'group', ariaLabel: 'Take along' },
      button('Copy', (event) => this.copy(event.target, asCsv(found))),
      button('CSV', () => save(new Blob([asCsv(found)], { type: 'text/csv' }), `${name}_area.csv`)),
      button('GeoTIFF', () => this.fetch('/clip', `${name}_area.tif`)),
      ...(found.classes ? [button('GeoJSON', () => this.fetch('/polygons', `${name}_area.geojson`))] : [])));
    return parts;
  }

  async copy(button, text) {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = 'Copied';
    } catch {
      button.textContent = 'Not allowed';
    }
    setTimeout(() => { button.textContent = 'Copy'; }, 2000);
  }

  async fetch(address, name) {
    try {
      save(await (await post(address, this.question)).blob(), name);
    } catch (error) {
      this.report(error.message);
    }
  }
}
