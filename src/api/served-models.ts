import type { Checkpoint } from '../checkpoint/checkpoint.js';
import type { RunConfig } from '../config/schema.js';
import { type ChatForm, chatFormOf } from '../inference/chat-form.js';
import { expertsOfDomain } from '../routing/index.js';
import { ApiError, invalid } from './api-error.js';

/**
 * Names under which a checkpoint is served: the run's id, and `RUN:domain` for each domain, since a token's
 * domain decides which experts it may use.
 */
export class ServedModels {
  readonly #runId: string;
  readonly #config: RunConfig;
  readonly #domains: readonly string[];
  readonly #chatForms: readonly (ChatForm | null)[];

  /**
   * @param createdMs time of the checkpoint
   * @param examples example prompts by domain id
   * @throws TrainerError `BAD_INPUT` if its chat template is broken
   */
  constructor(
    checkpoint: Checkpoint,
    private readonly createdMs: number,
    private readonly examples: readonly (readonly string[])[],
  ) {
    const { runId, config } = checkpoint.manifest;
    this.#runId = runId;
    this.#config = config;
    this.#domains = config.data.domains;
    this.#chatForms = this.#domains.map((_, domain) => chatFormOf(checkpoint, domain));
  }

  /** Names in /v1/models; a request that uses one of them needs no `domain`. */
  get names(): string[] {
    return this.#domains.length === 1
      ? [this.#runId]
      : this.#domains.map((domain) => `${this.#runId}:${domain}`);
  }

  /** `Model` objects of OpenAI. */
  get list(): object[] {
    return this.names.map((id, domain) => this.#model(id, domain));
  }

  /** @throws ApiError 404 if there is no model of that name */
  model(id: string): object {
    const named = this.#checkName(id);
    return this.#model(id, this.#domains.length === 1 ? 0 : named);
  }

  /**
   * Returns the domain id of a request.
   *
   * @param domain the request's own field; null if it has none
   * @throws ApiError 404 for an unknown model, 400 for an unknown or missing domain
   */
  domainOf(model: string, domain: string | null): number {
    const named = this.#checkName(model);
    const known = this.#domains.join(', ');
    if (domain !== null) {
      const id = this.#domains.indexOf(domain);
      if (id < 0) throw invalid('domain', `${domain}: the model knows ${known}`);
      if (named >= 0 && named !== id) throw invalid('domain', `${domain}, but the model is ${model}`);
      return id;
    }
    if (named >= 0) return named;
    if (this.#domains.length > 1)
      throw invalid('model', `name a domain, as ${this.names[0]}, or in the field domain: ${known}`);
    return 0;
  }

  /** Returns the form of conversations in this domain; null if it has none. */
  chatFormOf(domain: number): ChatForm | null {
    return this.#chatForms[domain]!;
  }

  /** @param domain -1 if the name does not include one */
  #model(id: string, domain: number): object {
    const { model, moe } = this.#config;
    const ofDomain =
      domain < 0
        ? null
        : {
            domain: this.#domains[domain],
            chat: this.chatFormOf(domain) !== null,
            examples: this.examples[domain],
            experts: [...expertsOfDomain(this.#domains.length, moe)[domain]!],
          };
    return {
      id,
      object: 'model',
      created: Math.floor(this.createdMs / 1000),
      owned_by: 'locmoe',
      max_model_len: model.seqLen,
      sparse_layers: Array.from({ length: model.numSparseLayers }, (_, i) => model.numDenseLayers + i),
      ...ofDomain,
    };
  }

  /** @returns the id of the domain in the name, or -1 */
  #checkName(model: string): number {
    const named = this.#domains.findIndex((name) => model === `${this.#runId}:${name}`);
    if (named < 0 && model !== this.#runId)
      throw new ApiError(404, `model ${model} is not served here; there is ${this.names.join(', ')}`, {
        param: 'model',
        code: 'model_not_found',
      });
    return named;
  }
}
