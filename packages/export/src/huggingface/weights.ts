import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { type StoredTensor, type TensorData, writeSafetensors } from 'locmoe/internal/checkpoint/safetensors';
import type { OutputFolder } from '../output-folder.js';
import type { WeightType } from '../target.js';

/** A tensor that is read only when it is written, so that only one file's tensors are in memory at a time. */
export interface LazyTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly bytes: number;
  readonly read: () => TensorData;
}

/** A model as transformers reads it: the fields of config.json and the tensors of model.safetensors. */
export interface HuggingFaceModel {
  readonly config: Readonly<Record<string, unknown>> & { readonly model_type: string };
  readonly tensors: readonly LazyTensor[];
}

/** The file size above which HuggingFace's programs split weights. */
const SHARD_BYTES = 5e9;

/** Names of the routers' tensors in locmoe.py and in classes of transformers. */
const OF_ROUTER = /\.router\.|\.gate\.weight$/;

const METADATA = { format: 'pt' };

/**
 * Writes `model.safetensors`, or where that would be larger than `shardBytes` several files of at most that
 * size (a larger tensor has a file to itself) and `model.safetensors.index.json`, which says where each
 * tensor is.
 */
export async function writeWeights(
  output: OutputFolder,
  tensors: readonly LazyTensor[],
  shardBytes = SHARD_BYTES,
): Promise<void> {
  const shards = shardsOf(tensors, shardBytes);
  const weightMap: Record<string, string> = {};
  for (const [i, shard] of shards.entries()) {
    const file = fileName(i, shards.length);
    const stored = shard.map(({ name, shape, read }): StoredTensor => ({ name, shape, data: read() }));
    await output.writeWith(file, (path) => {
      writeSafetensors(path, stored, METADATA);
    });
    for (const { name } of shard) weightMap[name] = file;
  }
  if (shards.length === 1) return;
  const totalSize = tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  const index = { metadata: { total_size: totalSize }, weight_map: weightMap };
  await output.write('model.safetensors.index.json', `${JSON.stringify(index, null, 2)}\n`);
}

/** Returns a float32 tensor of a checkpoint under another name. */
export function tensorOf(
  checkpoint: Checkpoint,
  from: string,
  to: string,
  shape: readonly number[],
): LazyTensor {
  const bytes = Float32Array.BYTES_PER_ELEMENT * shape.reduce((product, length) => product * length, 1);
  return { name: to, shape, bytes, read: () => checkpoint.read(from, shape) };
}

export function zeros(name: string, shape: readonly number[]): LazyTensor {
  const length = shape.reduce((product, size) => product * size, 1);
  return { name, shape, bytes: 4 * length, read: () => new Float32Array(length) };
}

/** Rounds a tensor to a type; the tensors of routers stay float32. */
export function asType(tensor: LazyTensor, dtype: WeightType): LazyTensor {
  if (dtype === 'float32' || OF_ROUTER.test(tensor.name)) return tensor;
  return { ...tensor, bytes: tensor.bytes / 2, read: () => bfloat16(tensor.read() as Float32Array) };
}

/** Rounds to the upper halves of float32, to nearest, ties to even. */
function bfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(bits, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16);
}

function shardsOf(tensors: readonly LazyTensor[], shardBytes: number): LazyTensor[][] {
  const shards: LazyTensor[][] = [[]];
  let left = shardBytes;
  for (const tensor of tensors) {
    if (tensor.bytes > left && shards[shards.length - 1]!.length > 0) {
      shards.push([]);
      left = shardBytes;
    }
    shards[shards.length - 1]!.push(tensor);
    left -= tensor.bytes;
  }
  return shards;
}

function fileName(shard: number, numShards: number): string {
  if (numShards === 1) return 'model.safetensors';
  const [number, of] = [shard + 1, numShards].map((each) => String(each).padStart(5, '0'));
  return `model-${number}-of-${of}.safetensors`;
}
