import type { MetricsReply } from '../../api-types.js';
import { h } from '../dom.js';
import { formatBytes } from '../format.js';

/** Shows the progress of reading long metrics that have no index yet. */
export class ReadingNote {
  readonly #bar = h.progress({ max: '1', 'aria-label': 'metrics that have been read' });
  readonly #text = h.span({ role: 'status' });
  readonly element = h.p({ class: 'reading' }, this.#bar, this.#text);

  constructor() {
    this.element.hidden = true;
  }

  set(reading: MetricsReply['reading']): void {
    this.element.hidden = reading === null;
    if (reading === null) return;
    const { bytes, ofBytes } = reading;
    this.#bar.value = bytes / ofBytes;
    const read = `${formatBytes(bytes)} of ${formatBytes(ofBytes)}`;
    this.#text.textContent = `Reading the metrics of this run for the first time, ${read}; the charts show what has been read.`;
  }
}
