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
