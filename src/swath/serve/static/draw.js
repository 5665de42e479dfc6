// Draw a box or a polygon on the maps: with mouse or touch, or with the keyboard at the cross in the middle.
// Corners are longitude and latitude; longitudes count on across the antimeridian.

const NEAR = 10; // pixels within which a click means an earlier corner

export function boxRing(west, south, east, north) {
  const right = east < west ? east + 360 : east;
  return [[west, south], [right, south], [right, north], [west, north], [west, south]];
}

// Edges are straight in degrees, and the map would draw long ones otherwise.
function dense(ring) {
  return ring.flatMap((corner, at) => {
    if (!at) return [corner];
    const before = ring[at - 1];
    const steps = Math.min(64, Math.ceil(Math.hypot(corner[0] - before[0], corner[1] - before[1])));
    return Array.from({ length: Math.max(1, steps) }, (_, step) => {
      const share = (step + 1) / Math.max(1, steps);
      return [before[0] + (corner[0] - before[0]) * share, before[1] + (corner[1] - before[1]) * share];
    });
  });
}

// The same ring with its middle between -180 and 180.
function home(ring) {
  const longitudes = ring.map(([longitude]) => longitude);
  const middle = (Math.min(...longitudes) + Math.max(...longitudes)) / 2;
  const turn = 360 * Math.round(middle / 360);
  return ring.map(([longitude, latitude]) => [longitude - turn, latitude]);
}

export class Drawing {
  // finished(ring) is told a closed ring; changed(mode, count) what is going on.
  constructor(finished, changed) {
    this.finished = finished;
    this.changed = changed;
    this.maps = new Set();
    this.mode = '';
    this.corners = [];
    this.pointer = null;
    this.pressed = null;
    this.shown = null;
  }

  get active() { return this.mode !== ''; }

  addTo(map) {
    map.addSource('area', { type: 'geojson', data: this.#content() });
    const isFace = ['==', ['geometry-type'], 'Polygon'];
    map.addLayer({ id: 'area-face', type: 'fill', source: 'area', filter: isFace, paint: { 'fill-color': '#ffffff', 'fill-opacity': 0.14 } });
    map.addLayer({ id: 'area-halo', type: 'line', source: 'area', paint: { 'line-color': '#ffffff', 'line-width': 5, 'line-opacity': 0.9 } });
    map.addLayer({ id: 'area-edge', type: 'line', source: 'area', paint: { 'line-color': '#0b1f3a', 'line-width': 2.2 } });
    map.addLayer({
      id: 'area-corner', type: 'circle', source: 'area', filter: ['==', ['geometry-type'], 'Point'],
      paint: { 'circle-radius': 5, 'circle-color': '#0b1f3a', 'circle-stroke-color': '#ffffff', 'circle-stroke-width': 2 },
    });
    this.maps.add(map);
    for (const name of ['mousedown', 'touchstart']) map.on(name, (event) => this.#press(event));
    for (const name of ['mousemove', 'touchmove']) map.on(name, (event) => this.#move(event));
    for (const name of ['mouseup', 'touchend']) map.on(name, (event) => this.#release(event));
    map.on('click', (event) => this.#click(event));
    map.on('dblclick', (event) => { if (this.mode === 'polygon') { event.preventDefault(); this.finish(); } });
    map.getCanvas().addEventListener('keydown', (event) => this.#key(event, map));
    map.once('remove', () => this.maps.delete(map));
    this.#zoomByDoubleClick();
  }

  start(mode) {
    this.mode = mode;
    this.corners = [];
    this.pressed = this.pointer = null;
    this.shown = null;
    this.#update();
  }

  cancel() {
    if (!this.active) return;
    this.mode = '';
    this.corners = [];
    this.#update();
  }

  finish() {
    const corners = this.corners;
    if (this.mode !== 'polygon' || corners.length < 3) return;
    this.#done([...corners, corners[0]]);
  }

  undo() {
    this.corners.pop();
    this.#update();
  }

  // Show a closed ring, or nothing.
  show(ring) {
    this.mode = '';
    this.corners = [];
    this.shown = ring && home(ring);
    this.#update();
    return this.shown;
  }

  #done(ring) {
    this.finished(this.show(ring));
  }

  #place(event) {
    const { lng, lat } = event.lngLat;
    const before = this.corners.at(-1)?.[0] ?? lng;
    return [lng + 360 * Math.round((before - lng) / 360), Math.max(-90, Math.min(90, lat))];
  }

  #press(event) {
    if (this.mode !== 'box' || event.points?.length > 1) return;
    event.preventDefault(); // the map stays where it is
    this.pressed = event.point;
    if (!this.corners.length) this.corners = [this.#place(event)];
    this.pointer = this.#place(event);
    this.#update();
  }

  #move(event) {
    if (!this.corners.length || (this.mode === 'box' && event.originalEvent.touches && !this.pressed)) return;
    this.pointer = this.#place(event);
    this.#update();
  }

  // A drag makes the box at once; without one, the next press gives the opposite corner.
  #release(event) {
    if (this.mode !== 'box' || !this.pressed) return;
    const start = this.pressed;
    this.pressed = null;
    const second = this.pointer ?? this.corners[0];
    const [first] = this.corners;
    const moved = event.point.dist(start) > NEAR;
    if (moved || Math.abs(second[0] - first[0]) * Math.abs(second[1] - first[1]) > 0) this.#opposite(second);
  }

  #opposite(second) {
    const [first] = this.corners;
    const [west, east] = [first[0], second[0]].sort((a, b) => a - b);
    const [south, north] = [first[1], second[1]].sort((a, b) => a - b);
    if (west < east && south < north) this.#done(boxRing(west, south, east, north));
  }

  #click(event) {
    if (this.mode !== 'polygon') return;
    const near = (corner) => event.target.project(corner).dist(event.point) < NEAR;
    if (this.corners.length > 2 && near(this.corners[0])) { this.finish(); return; }
    if (this.corners.length && near(this.corners.at(-1))) return;
    this.#corner(this.#place(event));
  }

  #corner(place) {
    this.corners.push(place);
    this.#update();
  }

  #key(event, map) {
    if (!this.active) return;
    const act = {
      ' ': () => {
        const place = this.#place({ lngLat: map.getCenter() });
        if (this.mode === 'box' && this.corners.length) this.#opposite(place);
        else this.#corner(place);
      },
      Enter: () => this.finish(),
      Backspace: () => this.undo(),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  #zoomByDoubleClick() {
    for (const map of this.maps) map.doubleClickZoom[this.active ? 'disable' : 'enable']();
  }

  #update() {
    this.#zoomByDoubleClick();
    for (const map of this.maps) map.getSource('area')?.setData(this.#content());
    this.changed(this.mode, this.corners.length);
  }

  #content() {
    const feature = (type, coordinates) => ({ type: 'Feature', properties: {}, geometry: { type, coordinates } });
    const features = [];
    if (this.shown) features.push(feature('Polygon', [dense(this.shown)]));
    if (this.mode === 'box' && this.corners.length && this.pointer) {
      const [[x, y]] = this.corners;
      const [u, v] = this.pointer;
      features.push(feature('LineString', [[x, y], [u, y], [u, v], [x, v], [x, y]]));
    } else if (this.mode === 'polygon' && this.corners.length) {
      const line = [...this.corners, ...(this.pointer ? [this.pointer] : [])];
      if (line.length > 1) features.push(feature('LineString', dense(line)));
    }
    if (this.active) features.push(...this.corners.map((corner) => feature('Point', corner)));
    return { type: 'FeatureCollection', features };
  }
}
