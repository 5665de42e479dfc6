// The cards of the panel: what is shown, how strongly, what the colours mean.

import { estimates } from './estimates.js';
import { make, readable, swatch } from './make.js';

// The map library takes attributions as HTML; ours are plain text.
export function escapeText(text) {
  const box = document.createElement('span');
  box.textContent = text;
  return box.innerHTML;
}

export function drawPanel(target, state, actions) {
  // Cards are drawn anew on each change, so the keyboard focus is put back where it was.
  const focused = document.activeElement?.id;
  const explained = new Map();
  const listed = state.layers.filter((layer) => !state.comparing || layer.role === 'basemap'
    || layer.id === state.left || layer.id === state.right);
  const groups = [['Layers', 'overlay'], ['Basemap', 'basemap']].map(([title, role]) => {
    const members = listed.filter((layer) => layer.role === role);
    return members.length && make('section', {}, make('h2', { textContent: title }),
      ...members.map((layer) => card(layer, state, actions, explained)));
  });
  target.replaceChildren(...groups.filter(Boolean));
  if (focused) document.getElementById(focused)?.focus();
}

function card(layer, state, actions, explained) {
  const pinned = state.comparing && layer.role === 'overlay';
  const on = pinned || state.shown.has(layer.id);
  const box = make('input', { type: 'checkbox', id: `show-${layer.id}`, checked: on, disabled: pinned });
  box.addEventListener('change', () => actions.toggle(layer.id, box.checked));
  const head = make('div', { className: 'head' },
    make('label', { htmlFor: box.id }, box, make('span', { textContent: layer.title })),
    ...(pinned ? [make('span', { className: 'tag', textContent: sideOf(layer, state) })] : []),
    ...(layer.data === 'unknown' ? [] : [make('span', {
      className: `tag ${layer.data}`, textContent: `data: ${layer.data}`,
      title: layer.data === 'real' ? 'From real observations' : 'From simulated observations',
    })]));
  const article = make('article', { className: on ? 'card on' : 'card' }, head);
  article.dataset.layer = layer.id;
  if (!on) return article;
  if (layer.note) article.append(make('p', { className: 'note', textContent: layer.note }));
  const meaning = legend(layer, explained);
  if (meaning) article.append(meaning);
  article.append(slider(layer, state, actions));
  if (layer.estimates) article.append(estimates(layer, actions.ask));
  if (actions.ask) {
    article.append(make('a', {
      className: 'take', href: `/layers/${layer.id}/download`, download: '', textContent: 'Download', ariaLabel: `Download ${layer.title}`,
    }));
  }
  return article;
}

function sideOf(layer, state) {
  if (state.left === state.right) return 'both';
  return layer.id === state.left ? 'left' : 'right';
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

function legend(layer, explained) {
  if (layer.kind === 'colour') return null;
  const key = JSON.stringify(layer.kind === 'categorical' ? layer.legend : [layer.colours, layer.minimum, layer.maximum, layer.unit]);
  const earlier = explained.get(key);
  if (earlier) return make('p', { className: 'note', textContent: `Colours as in “${earlier}”.` });
  explained.set(key, layer.title);
  return layer.kind === 'categorical' ? classes(layer) : ramp(layer);
}

function classes(layer) {
  const list = make('ul', { className: 'legend' });
  for (const entry of layer.legend) {
    list.append(make('li', {}, swatch(entry.colour), entry.name));
  }
  return list;
}

function ramp(layer) {
  const bar = make('div', { className: 'bar' });
  bar.style.backgroundImage = `linear-gradient(to right, ${layer.colours.join(', ')})`;
  const middle = (layer.minimum + layer.maximum) / 2;
  const ticks = [layer.minimum, middle, layer.maximum].map((value) => make('span', { textContent: readable(value) }));
  const caption = layer.unit && layer.unit !== '1' ? [make('p', { className: 'unit', textContent: layer.unit })] : [];
  return make('div', { className: 'ramp' }, bar, make('div', { className: 'ticks' }, ...ticks), ...caption);
}
