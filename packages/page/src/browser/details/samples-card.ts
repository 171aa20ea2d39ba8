import { fill, h, heading } from '../dom.js';

interface Sample {
  readonly domain: string;
  readonly prompt: string;
  readonly text: string;
}

/** Texts that the run generated at its end; hidden if it made none. */
export class SamplesCard {
  readonly element = h.section({ class: 'card full samples', 'aria-label': 'Samples' });

  set(summary: Readonly<Record<string, unknown>> | null): void {
    const samples = Array.isArray(summary?.samples) ? (summary.samples as Sample[]) : [];
    this.element.hidden = samples.length === 0;
    const entries = samples.flatMap(({ domain, prompt, text }) => [
      h.dt(domain),
      h.dd(h.span({ class: 'prompt' }, prompt), text),
    ]);
    fill(
      this.element,
      heading('Samples', 'at the end; the prompt is from the validation text'),
      h.dl(...entries),
    );
  }
}
