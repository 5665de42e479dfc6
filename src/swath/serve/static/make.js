// Small helpers that every part of the page uses.

const numbers = new Intl.NumberFormat('en', { maximumSignificantDigits: 4 });
const shares = new Intl.NumberFormat('en', { style: 'percent', minimumFractionDigits: 1, maximumFractionDigits: 1 });

export function readable(value, unit) {
  return numbers.format(value) + (unit && unit !== '1' ? `\u202f${unit}` : '');
}

export function percent(share) {
  return share === null || share === undefined ? '–' : shares.format(share);
}

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function swatch(colour) {
  const mark = make('i', { className: 'swatch' });
  if (colour) mark.style.backgroundColor = colour;
  return mark;
}

// Hand a file to the user.
export function save(content, name) {
  const address = URL.createObjectURL(content);
  const link = make('a', { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

function degrees(value, positive, negative) {
  return `${Math.abs(value).toFixed(2)}° ${value < 0 ? negative : positive}`;
}

// What the layers say at a place, as the server answered.
export function valuesBox(answer) {
  const place = degrees(answer.lat, 'N', 'S') + '  ' + degrees(answer.lon, 'E', 'W');
  const box = make('div', { className: 'values' }, make('p', { className: 'place', textContent: place }));
  const rows = answer.layers.filter((row) => row.value !== null && row.kind !== 'colour');
  if (!rows.length) box.append('No layer has data here.');
  const list = make('dl');
  for (const row of rows) {
    const text = make('dd');
    if (row.colour) text.append(swatch(row.colour));
    const name = row.name ?? `${row.value} (not in the legend)`;
    text.append(row.kind === 'categorical' ? name : readable(row.value, row.unit));
    list.append(make('dt', { textContent: row.title }), text);
  }
  box.append(list);
  return box;
}
