// The copy of one raster: a cloud-optimised GeoTIFF in web Mercator whose blocks are web tiles (see site_copies.py).
/* global GeoTIFF */
import { HostFile } from './ranges.js';

export const SIDE = 512;

export class Copy {
  constructor(layer, gate) {
    this.layer = layer;
    this.file = new HostFile(new URL(layer.copy.file, document.baseURI).href, layer.copy.bytes, (file) => gate(layer, file));
    this.colours = palette(layer);
    this.levels = null;
  }

  // The raster and its overviews, finest first. What failed is tried again at the next call.
  open() {
    this.levels ??= this.read().catch((error) => { this.levels = null; throw error; });
    return this.levels;
  }

  async read() {
    const tiff = await GeoTIFF.GeoTIFF.fromSource(this.file);
    const count = await tiff.getImageCount();
    const images = await Promise.all(Array.from({ length: count }, (_, index) => tiff.getImage(index)));
    const { width, height } = this.layer.copy;
    if (images[0].getWidth() !== width || images[0].getHeight() !== height) throw new Error(`${this.file.name} is not the file that the page describes. Load the page again.`);
    return images.map((image) => ({ image, factor: width / image.getWidth() }));
  }

  // The colours of a web tile as ImageData, null where there is nothing.
  async tile(zoom, column, row) {
    const { copy } = this.layer;
    const levels = await this.open();
    const scale = 2 ** (copy.zoom - zoom); // pixels of the copy for one of the tile
    const level = levels.findLast((each) => each.factor <= scale * 1.01) ?? levels[0];
    const rows = cells(row, 0, copy.row, scale, level.factor, level.image.getHeight());
    const pixels = new ImageData(SIDE, SIDE);
    let drawn = false;
    // A copy across the antimeridian goes on east of 180 degrees.
    for (const world of [0, 2 ** zoom]) {
      const columns = cells(column, world, copy.column, scale, level.factor, level.image.getWidth());
      if (!rows.found || !columns.found) continue;
      const window = [columns.first, rows.first, columns.last + 1, rows.last + 1];
      this.paint(pixels, await level.image.readRasters({ window }), columns, rows);
      drawn = true;
    }
    return drawn ? pixels : null;
  }

  paint(pixels, bands, columns, rows) {
    const target = new Uint32Array(pixels.data.buffer);
    const width = columns.last + 1 - columns.first;
    const colour = this.painter(bands);
    for (let y = 0; y < SIDE; y += 1) {
      if (rows.index[y] < 0) continue;
      const start = (rows.index[y] - rows.first) * width - columns.first;
      for (let x = 0; x < SIDE; x += 1) {
        if (columns.index[x] >= 0) target[y * SIDE + x] ||= colour(start + columns.index[x]);
      }
    }
  }

  // A function from the place in the arrays of the bands to a colour, 0 for nothing.
  painter(bands) {
    const { layer } = this;
    if (layer.kind === 'colour') {
      const [red, green, blue, alpha] = bands;
      return (at) => (alpha[at] ? ((255 << 24) | (blue[at] << 16) | (green[at] << 8) | red[at]) >>> 0 : 0);
    }
    const [values] = bands;
    const { nodata } = layer.copy;
    if (layer.kind === 'categorical') return (at) => (values[at] === nodata ? 0 : this.colours.get(values[at]) ?? 0);
    const gain = 255 / (layer.maximum - layer.minimum);
    return (at) => {
      const value = values[at];
      if (value === nodata || !Number.isFinite(value)) return 0;
      const step = Math.round((value * layer.scale + layer.offset - layer.minimum) * gain);
      return this.colours[Math.min(255, Math.max(0, step))];
    };
  }

  // The number at a place [degrees], null where there is none. Pictures have no numbers.
  async value(longitude, latitude) {
    const { copy } = this.layer;
    const around = 2 ** copy.zoom * SIDE;
    const angle = (latitude * Math.PI) / 180;
    const y = Math.floor(((1 - Math.atanh(Math.sin(angle)) / Math.PI) / 2) * around) - copy.row * SIDE;
    let x = Math.floor((longitude / 360 + 0.5) * around) - copy.column * SIDE;
    x = ((x % around) + around) % around;
    if (!(x < copy.width && y >= 0 && y < copy.height)) return null;
    const [{ image }] = await this.open();
    const [[value]] = await image.readRasters({ window: [x, y, x + 1, y + 1] });
    if (value === copy.nodata || !Number.isFinite(value)) return null;
    return this.layer.kind === 'continuous' ? value * this.layer.scale + this.layer.offset : value;
  }
}

// For each pixel of a tile along one axis, the cell of a level; -1 outside of it.
function cells(tile, world, origin, scale, factor, length) {
  const index = new Int32Array(SIDE).fill(-1);
  const start = (tile + world) * SIDE * scale - origin * SIDE;
  let [first, last] = [length, -1];
  for (let pixel = 0; pixel < SIDE; pixel += 1) {
    const cell = Math.floor((start + (pixel + 0.5) * scale) / factor);
    if (cell < 0 || cell >= length) continue;
    index[pixel] = cell;
    first = Math.min(first, cell);
    last = Math.max(last, cell);
  }
  return { index, first, last, found: last >= 0 };
}

// Colours as the bytes of ImageData read as one number (little-endian, as every browser of today runs).
function packed(colour) {
  const [red, green, blue] = [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

function palette(layer) {
  if (layer.kind === 'categorical') return new Map(layer.legend.map((entry) => [entry.value, packed(entry.colour)]));
  return layer.colours.map(packed);
}
