import { formatCount } from '../../format.js';
import { formatLeft, ProgressLine, screenOf } from '../progress-line.js';

/** Shows on standard error how many questions are answered. */
export class QuestionProgress {
  readonly #line = new ProgressLine(screenOf(process.stderr));
  readonly #began = performance.now();

  constructor(private readonly total: number) {}

  readonly show = (done: number): void => {
    const perS = done / Math.max(1e-3, (performance.now() - this.#began) / 1000);
    const left = formatLeft((this.total - done) / perS);
    this.#line.show(
      `eval: ${formatCount(done)} of ${formatCount(this.total)} questions, ${formatCount(perS)}/s, ${left} left`,
      done / this.total,
    );
  };

  end(): void {
    this.#line.clear();
  }
}
