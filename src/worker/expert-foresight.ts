import type { Loader } from '../data/loader.js';
import type { LanguageModel } from '../model/language-model.js';
import type { ExpertSlots } from '../parameters/expert-slots.js';

/**
 * Loads a step's experts into memory before the step, and has the next step's experts read ahead, if the router chooses
 * by token ids and domains alone: the text of a step is known in advance.
 */
export class ExpertForesight {
  #next: { readonly step: number; readonly experts: readonly string[] } | null = null;

  private constructor(
    private readonly slots: ExpertSlots,
    private readonly expertsOf: (step: number) => readonly string[],
  ) {}

  /** Returns null if all experts are in memory, or the router does not choose by token ids and domains alone. */
  static of(
    model: LanguageModel,
    loader: Pick<Loader, 'globalBatchForStep'>,
    microBatches: number,
  ): ExpertForesight | null {
    const { slots } = model.parameters;
    if (!slots?.isStored || model.foresee(loader.globalBatchForStep(0)) === null) return null;
    return new ExpertForesight(slots, (step) => {
      const first = (step - 1) * microBatches;
      const experts = Array.from({ length: microBatches }, (_, i) =>
        model.foresee(loader.globalBatchForStep(first + i)),
      );
      return [...new Set(experts.flatMap((names) => names ?? []))];
    });
  }

  /** @throws TrainerError `BAD_CONFIG` if the budget is too small for the experts of the step */
  beforeStep(step: number): void {
    const now = this.#next?.step === step ? this.#next.experts : this.expertsOf(step);
    this.#next = { step: step + 1, experts: this.expertsOf(step + 1) };
    this.slots.expect(now, this.#next.experts);
  }
}
