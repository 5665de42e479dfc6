// The panel: what is shown, how strongly, what the colours mean, what can be downloaded.

const numbers = new Intl.NumberFormat('en', { maximumSignificantDigits: 6 });

export function readable(value, unit) {
  return numbers.format(value) + (unit && unit !== '1' ? `\u202f${unit}` : '');
}

export function sizeOf(bytes) {
  if (bytes < 1e5) return `${Math.max(1, Math.round(bytes / 1e3))}\u202fkB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)}\u202fMB` : `${(bytes / 1e9).toFixed(1)}\u202fGB`;
}

// The map library takes attributions as HTML; ours are plain text.
export function escapeText(text) {
  const box = document.createElement('span');
  box.textContent = text;
  return box.innerHTML;
}

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function drawPanel(target, state, actions) {
  // Cards are drawn anew on each change, so the keyboard focus is put back where it was.
  const focused = document.activeElement?.id;
  const groups = [['Layers', 'overlay'], ['Basemap', 'basemap']].map(([title, role]) => {
    const members = state.layers.filter((layer) => layer.role === role);
    return members.length && make('section', {}, make('h2', { textContent: title }),
      ...members.map((layer) => card(layer, state, actions)));
  });
  target.replaceChildren(...groups.filter(Boolean));
  if (focused) document.getElementById(focused)?.focus();
}

function card(layer, state, actions) {
  const on = state.shown.has(layer.id);
  const box = make('input', { type: 'checkbox', id: `show-${layer.id}`, checked: on });
  box.addEventListener('change', () => actions.toggle(layer.id, box.checked));
  const head = make('div', { className: 'head' },
    make('label', { htmlFor: box.id }, box, make('span', { textContent: layer.title })),
    ...(layer.data === 'unknown' ? [] : [make('span', {
      className: `tag ${layer.data}`, textContent: `data: ${layer.data}`,
      title: layer.data === 'real' ? 'From real observations' : 'From simulated observations',
    })]));
  const article = make('article', { className: on ? 'card on' : 'card' }, head);
  article.dataset.layer = layer.id;
  if (on) {
    if (layer.note) article.append(make('p', { className: 'note', textContent: layer.note }));
    if (layer.kind === 'categorical') article.append(classes(layer));
    if (layer.kind === 'continuous') article.append(ramp(layer));
    article.append(slider(layer, state, actions));
  }
  article.append(download(layer));
  return article;
}

function slider(layer, state, actions) {
  const percent = (share) => `${Math.round(share * 100)}%`;
  const share = state.opacity.get(layer.id);
  const input = make('input', { type: 'range', id: `fade-${layer.id}`, min: '0', max: '1', step: '0.05', value: String(share) });
  const output = make('output', { textContent: percent(share) });
  input.setAttribute('aria-label', `Opacity of ${layer.title}`);
  input.addEventListener('input', () => {
    output.textContent = percent(input.valueAsNumber);
    actions.fade(layer.id, input.valueAsNumber);
  });
  return make('div', { className: 'fade' }, make('span', { textContent: 'Opacity' }), input, output);
}

function download(layer) {
  const link = make('a', {
    className: 'download', id: `get-${layer.id}`, href: layer.original.file, download: '',
    textContent: `Download the original (${sizeOf(layer.original.bytes)})`,
  });
  link.setAttribute('aria-label', `Download the original of ${layer.title} (${sizeOf(layer.original.bytes)})`);
  return link;
}

function classes(layer) {
  const list = make('ul', { className: 'legend' });
  for (const entry of layer.legend) {
    const swatch = make('i');
    swatch.style.backgroundColor = entry.colour;
    list.append(make('li', {}, swatch, entry.name));
  }
  return list;
}

function ramp(layer) {
  const bar = make('div', { className: 'bar' });
  const steps = Array.from({ length: 9 }, (_, step) => layer.colours[Math.round((step * 255) / 8)]);
  bar.style.backgroundImage = `linear-gradient(to right, ${steps.join(', ')})`;
  const middle = (layer.minimum + layer.maximum) / 2;
  const ticks = [layer.minimum, middle, layer.maximum].map((value) => make('span', { textContent: readable(value) }));
  const caption = layer.unit && layer.unit !== '1' ? [make('p', { className: 'unit', textContent: layer.unit })] : [];
  return make('div', { className: 'ramp' }, bar, make('div', { className: 'ticks' }, ...ticks), ...caption);
}
