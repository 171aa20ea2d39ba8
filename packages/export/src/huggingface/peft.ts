import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapterPair } from 'locmoe/internal/checkpoint/huggingface/adapter';
import {
  type Counterpart,
  counterparts,
  transpose,
} from 'locmoe/internal/checkpoint/huggingface/counterparts';
import { type StoredTensor, writeSafetensors } from 'locmoe/internal/checkpoint/safetensors';
import { TrainerError } from 'locmoe/internal/errors';
import { pairOf } from 'locmoe/internal/parameters/low-rank-pair';
import type { ExportTarget } from '../target.js';
import { architectureOf, publishable } from './published.js';
import { json } from './tokenizer-files.js';

/** Writes only the low-rank pairs of `train.lora`, for the base model as written by the target huggingface. */
export const peft: ExportTarget = {
  description: 'the LoRA adapter of a model of family llama (train.lora), without its base, for PEFT',
  takesPairs: true,
  async write(given, output) {
    const { config } = given.manifest;
    const { lora } = config.train;
    if (lora === null)
      throw new TrainerError(
        'BAD_INPUT',
        `--to peft: ${given.folder} has no adapter (train.lora); --to huggingface writes all weights`,
      );
    if (config.model.family !== 'llama')
      throw new TrainerError(
        'BAD_INPUT',
        `--to peft: an adapter is for a class of transformers, which model.family ${config.model.family} has not; --to huggingface writes all weights with the adapter merged`,
      );
    const checkpoint = publishable(given);
    const base = checkpoint.manifest.config;
    const adapted = counterparts(base, architectureOf(base)).filter(({ own }) =>
      checkpoint.has(pairOf(own).a),
    );
    const fields = {
      peft_type: 'LORA',
      task_type: 'CAUSAL_LM',
      // The user names the base model when loading the adapter.
      base_model_name_or_path: null,
      r: lora.rank,
      lora_alpha: lora.alpha ?? lora.rank,
      lora_dropout: 0,
      bias: 'none',
      fan_in_fan_out: false,
      inference_mode: true,
      target_modules: [...new Set(adapted.map(moduleOf))],
    };
    await output.write(ADAPTER_CONFIG, json(fields));
    await output.writeWith(ADAPTER_WEIGHTS, (file) => {
      writeSafetensors(
        file,
        adapted.flatMap((each) => pairTensors(checkpoint, each, lora.rank)),
        { format: 'pt' },
      );
    });
  },
};

/**
 * Returns the name of a module in its layer, such as `q_proj` or `experts.3.w1`. PEFT adapts every module
 * whose name ends with it, so no other module's name may end with it.
 */
function moduleOf({ published }: Counterpart): string {
  return published.replace(/^model\.layers\.\d+\.\w+\.|\.weight$/g, '');
}

/** Returns the matrices of a pair, transposed: a linear layer of transformers is the transpose of our matrix. */
function pairTensors(
  checkpoint: Checkpoint,
  { own, published, shape }: Counterpart,
  rank: number,
): StoredTensor[] {
  const [inputs, outputs] = shape as [number, number];
  const [from, to] = [pairOf(own), adapterPair(published)];
  return [
    {
      name: to.a,
      shape: [rank, inputs],
      data: transpose(checkpoint.read(from.a, [inputs, rank]), [inputs, rank]),
    },
    {
      name: to.b,
      shape: [outputs, rank],
      data: transpose(checkpoint.read(from.b, [rank, outputs]), [rank, outputs]),
    },
  ];
}
