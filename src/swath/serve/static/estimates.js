// Area estimates with intervals from a reference sample, where they lie beside a map.
import { make, percent, readable } from './make.js';

const range = (low, high, show) => (low === null || high === null || low === undefined ? '' : `${show(low)} to ${show(high)}`);

export function estimatesTable(found) {
  if (found.problem) return make('p', { className: 'problem', textContent: found.problem });
  const accuracy = (told) => make('td', { title: told ? range(told.low, told.high, percent) : '', textContent: percent(told?.value) });
  const area = (value) => (value === null ? '–' : readable(value));
  const rows = found.classes.map((row) => make('tr', {},
    make('th', { scope: 'row', textContent: row.name }),
    make('td', { textContent: area(row.mapped_km2) }),
    make('td', {}, area(row.area_km2), make('small', { textContent: range(row.low_km2, row.high_km2, readable) })),
    accuracy(row.users_accuracy), accuracy(row.producers_accuracy)));
  const heads = ['Class', 'Mapped', 'Estimate', 'User’s', 'Producer’s'].map((text) => make('th', { scope: 'col', textContent: text }));
  const overall = found.overall_accuracy;
  const facts = [
    `Areas in km² with ${percent(found.confidence)} intervals`,
    ...(found.samples === null ? [] : [`${readable(found.samples)} reference samples`]),
    ...(overall?.value == null ? [] : [`overall accuracy ${percent(overall.value)} (${range(overall.low, overall.high, percent)})`]),
    ...(found.method ? [found.method] : []),
  ];
  return make('div', {}, make('div', { className: 'wide' },
    make('table', { className: 'areas' }, make('thead', {}, make('tr', {}, ...heads)), make('tbody', {}, ...rows))),
  make('p', { className: 'note', textContent: `${facts.join('; ')}.` }));
}

export function estimates(layer, ask) {
  const place = make('div', { ariaLive: 'polite' });
  const box = make('details', { className: 'estimates', id: `estimates-${layer.id}` },
    make('summary', { textContent: 'Area estimates' }), place);
  box.addEventListener('toggle', async () => {
    if (!box.open || place.childElementCount) return;
    const found = await ask(`/layers/${layer.id}/estimates`).catch((error) => ({ problem: error.message }));
    place.replaceChildren(estimatesTable(found));
  });
  return box;
}
