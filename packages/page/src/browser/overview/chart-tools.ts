import { button, fill, h, icon } from '../dom.js';
import { onState, pageState, setState } from '../location.js';
import { closeOnEscape } from '../logs/time-range.js';
import { saveFile } from '../save-file.js';
import type { Chart } from './chart.js';

/** Buttons of a chart: to enlarge it, and a menu for its scale and its data. */
export function chartTools(
  chart: Chart,
  { id, canBeLog }: { readonly id: string; readonly canBeLog: boolean },
): HTMLElement[] {
  const { title } = chart.options;
  const fileName = () => `${pageState().run ?? 'run'}-${id}`;
  const enlarge = button(icon('enlarge'), () => setState({ chart: pageState().chart === id ? null : id }), {
    label: `enlarge ${title}`,
    class: 'bare enlarge',
  });
  const logScale = h('input', { type: 'checkbox' });
  logScale.addEventListener('change', () => {
    const others = pageState().log.filter((each) => each !== id);
    setState({ log: logScale.checked ? [...others, id] : others });
  });
  const savePicture = async () => {
    const picture = await chart.picture();
    if (picture !== null) saveFile(`${fileName()}.png`, picture);
  };
  const menu = h(
    'details',
    { class: 'menu chart-menu' },
    h('summary', { 'aria-label': `scale and data of ${title}` }, icon('dots')),
    h(
      'div',
      { class: 'menu-body' },
      canBeLog && h('label', { class: 'check' }, logScale, 'logarithmic scale'),
      button('Save as picture (PNG)', () => void savePicture()),
      button('Save data (CSV)', () =>
        saveFile(`${fileName()}.csv`, new Blob([chart.csv], { type: 'text/csv' })),
      ),
    ),
  );
  closeOnEscape(menu);
  const show = () => {
    logScale.checked = pageState().log.includes(id);
    const isEnlarged = pageState().chart === id;
    enlarge.setAttribute('aria-pressed', String(isEnlarged));
    enlarge.setAttribute('aria-label', isEnlarged ? 'show all charts' : `enlarge ${title}`);
    enlarge.title = enlarge.getAttribute('aria-label') ?? '';
    fill(enlarge, icon(isEnlarged ? 'shrink' : 'enlarge'));
  };
  onState(show);
  show();
  return [enlarge, menu];
}
