import { button, fill, h, icon, menu, saveFile } from '../dom.js';
import { onState, pageState, setState } from '../location.js';
import { toggled } from '../page-state.js';
import type { Chart } from './chart.js';

/** Buttons of a chart: to enlarge it, and a menu for its scale and its data. */
export function chartTools(
  chart: Chart,
  { id, canBeLog }: { readonly id: string; readonly canBeLog: boolean },
): HTMLElement[] {
  const { title } = chart.options;
  const fileName = () => `${pageState().run ?? 'run'}-${id}`;
  const enlarge = button('', () => setState({ chart: pageState().chart === id ? null : id }), {
    class: 'bare enlarge',
  });
  const toggleLog = () => setState({ log: toggled(pageState().log, id) });
  const logScale = h.input({ type: 'checkbox', on: { change: toggleLog } });
  const savePicture = async () => {
    const picture = await chart.picture();
    if (picture !== null) saveFile(`${fileName()}.png`, picture);
  };
  const saveData = () => saveFile(`${fileName()}.csv`, new Blob([chart.csv], { type: 'text/csv' }));
  const body = h.div(
    { class: 'menu-body' },
    canBeLog && h.label({ class: 'check' }, logScale, 'logarithmic scale'),
    button('Save as picture (PNG)', () => void savePicture()),
    button('Save data (CSV)', saveData),
  );
  const show = () => {
    logScale.checked = pageState().log.includes(id);
    const isEnlarged = pageState().chart === id;
    enlarge.title = isEnlarged ? 'show all charts' : `enlarge ${title}`;
    enlarge.setAttribute('aria-pressed', String(isEnlarged));
    enlarge.setAttribute('aria-label', enlarge.title);
    fill(enlarge, icon(isEnlarged ? 'shrink' : 'enlarge'));
  };
  onState(show);
  show();
  const summary = h.summary({ 'aria-label': `scale and data of ${title}` }, icon('dots'));
  return [enlarge, menu('chart-menu', summary, body)];
}
