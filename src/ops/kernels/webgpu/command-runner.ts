import { ANSWERED, type AnswerMemory, tell } from './answer.js';
import { BATCH, type DeviceCommand, type DeviceInfo, READ_BYTES } from './commands.js';

/** Alignment of the parameters of a run in the buffer that the runs of a submission share. */
const PARAMS_BYTES = 256;

/** The pool holds at most this multiple of what has been used at once: sizes differ from step to step, and old ones pile up. */
const MOST_OF_PEAK = 2;

type Of<Do extends DeviceCommand['do']> = Extract<DeviceCommand, { readonly do: Do }>;

/** Carries out the commands of a `Device` where WebGPU answers: in a thread of its own. */
class CommandRunner {
  readonly #buffers = new Map<number, GPUBuffer>();
  /** Free buffers by size. */
  readonly #free = new Map<number, GPUBuffer[]>();
  #usedBytes = 0;
  #freeBytes = 0;
  /** Greatest `#usedBytes` since free buffers were given back. */
  #peakBytes = 0;
  /** Buffers that commands use which are encoded but not submitted. */
  readonly #encoded = new Set<GPUBuffer>();
  readonly #pipelines = new Map<
    string,
    { readonly pipeline: GPUComputePipeline; readonly layout: GPUBindGroupLayout }
  >();
  /** Parameters of the runs that are not submitted yet, here and on the device. */
  readonly #params = new Uint32Array((BATCH * PARAMS_BYTES) / 4);
  readonly #paramsBuffer: GPUBuffer;
  #numRuns = 0;
  /** Memory through which values are read. */
  #staging: GPUBuffer | null = null;
  #encoder: GPUCommandEncoder | null = null;
  #pass: GPUComputePassEncoder | null = null;
  /** The first error of the device. */
  #error: string | null = null;

  constructor(private readonly device: GPUDevice) {
    const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
    this.#paramsBuffer = device.createBuffer({ size: this.#params.byteLength, usage });
    device.addEventListener('uncapturederror', ({ error }) => {
      this.#error ??= error.message;
    });
    void device.lost.then(({ message, reason }) => {
      this.#error ??= `the device is lost (${reason}): ${message}`;
    });
  }

  /** @throws Error if a command is invalid, or if the device has failed before a `read` */
  async run(commands: readonly DeviceCommand[]): Promise<void> {
    for (const command of commands)
      if (command.do === 'read') await this.#read(command);
      else this.#do(command);
    this.#submit();
  }

  #do(command: Exclude<DeviceCommand, Of<'read'>>): void {
    switch (command.do) {
      case 'create':
        this.#buffers.set(command.buffer, this.#take(command.bytes));
        break;
      case 'free':
        this.#give(command.buffer);
        break;
      case 'write':
        this.#write(command);
        break;
      case 'clear':
        this.#endPass().clearBuffer(this.#used(command.buffer));
        break;
      case 'shader':
        this.#compile(command.shader);
        break;
      case 'destroy':
        this.device.destroy();
        break;
      case 'copy':
        this.#copy(command);
        break;
      case 'run':
        this.#encode(command);
    }
  }

  #of(buffer: number): GPUBuffer {
    return this.#buffers.get(buffer)!;
  }

  /** Returns a buffer for a command that is encoded now. */
  #used(number: number): GPUBuffer {
    const buffer = this.#of(number);
    this.#encoded.add(buffer);
    return buffer;
  }

  #write({ buffer: number, values }: Of<'write'>): void {
    const buffer = this.#of(number);
    // The queue writes before it gets what is encoded, which may use this memory for what it held before.
    if (this.#encoded.has(buffer)) this.#submit();
    this.device.queue.writeBuffer(buffer, 0, values);
  }

  #take(bytes: number): GPUBuffer {
    const size = this.#sizeFor(bytes);
    // Encoded commands are least likely to use the one that has been free for longest.
    const free = this.#free.get(size)?.shift();
    this.#usedBytes += size;
    this.#peakBytes = Math.max(this.#peakBytes, this.#usedBytes);
    if (free !== undefined) {
      this.#freeBytes -= size;
      return free;
    }
    if (this.#usedBytes + this.#freeBytes > MOST_OF_PEAK * this.#peakBytes) this.#dropFree();
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    return this.device.createBuffer({ size, usage });
  }

  #sizeFor(bytes: number): number {
    return Math.min(roundedUp(bytes), this.device.limits.maxStorageBufferBindingSize);
  }

  /** Gives back the memory of all free buffers. */
  #dropFree(): void {
    this.#submit();
    for (const buffer of [...this.#free.values()].flat()) buffer.destroy();
    this.#free.clear();
    this.#freeBytes = 0;
    this.#peakBytes = this.#usedBytes;
  }

  /** Makes the memory of a buffer available to what is encoded from now on. */
  #give(number: number): void {
    const buffer = this.#of(number);
    this.#buffers.delete(number);
    this.#usedBytes -= buffer.size;
    this.#freeBytes += buffer.size;
    const free = this.#free.get(buffer.size);
    if (free === undefined) this.#free.set(buffer.size, [buffer]);
    else free.push(buffer);
  }

  #compile({ name, code }: Of<'shader'>['shader']): void {
    const module = this.device.createShaderModule({ label: name, code });
    const pipeline = this.device.createComputePipeline({ label: name, layout: 'auto', compute: { module } });
    this.#pipelines.set(name, { pipeline, layout: pipeline.getBindGroupLayout(0) });
  }

  #endPass(): GPUCommandEncoder {
    this.#pass?.end();
    this.#pass = null;
    this.#encoder ??= this.device.createCommandEncoder();
    return this.#encoder;
  }

  #copy({ from, fromByte, to, toByte, bytes }: Of<'copy'>): void {
    this.#endPass().copyBufferToBuffer(this.#used(from), fromByte, this.#used(to), toByte, bytes);
  }

  #encode({ shader, buffers, params, groups }: Of<'run'>): void {
    const offset = this.#numRuns++ * PARAMS_BYTES;
    this.#params.set(params, offset / 4);
    this.#pass ??= this.#endPass().beginComputePass();
    const { pipeline, layout } = this.#pipelines.get(shader)!;
    const uniform = { buffer: this.#paramsBuffer, offset, size: PARAMS_BYTES };
    const storage = buffers.map((each) => ({ buffer: this.#used(each) }));
    const entries = [uniform, ...storage].map((resource, binding) => ({ binding, resource }));
    this.#pass.setPipeline(pipeline);
    this.#pass.setBindGroup(0, this.device.createBindGroup({ layout, entries }));
    this.#pass.dispatchWorkgroups(...groups);
  }

  #submit(): void {
    if (this.#encoder === null) return;
    this.device.queue.writeBuffer(this.#paramsBuffer, 0, this.#params, 0, (this.#numRuns * PARAMS_BYTES) / 4);
    this.#numRuns = 0;
    const commands = this.#endPass().finish();
    this.#encoder = null;
    this.#encoded.clear();
    this.device.queue.submit([commands]);
  }

  async #read({ from, into }: Of<'read'>): Promise<void> {
    const size = into.byteLength;
    const staging = this.#stagingOf(this.#sizeFor(size));
    const encoder = this.#endPass();
    let at = 0;
    for (const { buffer, length } of from) {
      encoder.copyBufferToBuffer(this.#used(buffer), 0, staging, at, 4 * length);
      at += 4 * length;
    }
    this.#submit();
    try {
      await staging.mapAsync(GPUMapMode.READ, 0, size);
      into.set(new Uint8Array(staging.getMappedRange(0, size)));
      staging.unmap();
      if (size > READ_BYTES) this.#dropStaging();
    } catch (error) {
      // The device reports its own error in a later turn, and that error says more.
      await new Promise((resolve) => setTimeout(resolve));
      this.#error ??= described(error as Error);
    }
    if (this.#error !== null) throw new Error(this.#error);
  }

  /** Returns memory of at least this size that the host can read. */
  #stagingOf(size: number): GPUBuffer {
    if (this.#staging !== null && this.#staging.size >= size) return this.#staging;
    this.#dropStaging();
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    this.#staging = this.device.createBuffer({ size, usage });
    return this.#staging;
  }

  #dropStaging(): void {
    this.#staging?.destroy();
    this.#staging = null;
  }
}

/** Returns what an error says, or its name: those of Dawn about buffers say nothing. */
export function described({ name, message }: Error): string {
  return message === '' ? name : message;
}

/** Rounds up to 1, 1.25, 1.5 or 1.75 times a power of two, so that buffers of varying numbers of rows are used again. */
function roundedUp(bytes: number): number {
  const step = Math.max(16, 2 ** (Math.floor(Math.log2(Math.max(1, bytes))) - 2));
  return Math.ceil(Math.max(16, bytes) / step) * step;
}

async function open(gpu: GPU, answer: AnswerMemory): Promise<CommandRunner> {
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter === null) throw new Error('no adapter: is a driver for Vulkan installed?');
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  const requiredLimits = { maxBufferSize, maxStorageBufferBindingSize };
  const device = await adapter.requestDevice({ requiredLimits });
  const { device: name, description, vendor, architecture } = adapter.info;
  const info: DeviceInfo = {
    description: [name || `${vendor} ${architecture}`, description].filter((part) => part !== '').join(', '),
    tensorBytes: Math.min(maxBufferSize, maxStorageBufferBindingSize),
    isSoftware: adapter.info.isFallbackAdapter,
  };
  const runner = new CommandRunner(device);
  tell(answer, ANSWERED.done, JSON.stringify(info));
  return runner;
}

/** Opens the device that `gpu` has, and says in `answer` that it is open, or why there is none. */
export function serveDevice(
  gpu: Promise<GPU>,
  answer: AnswerMemory,
): {
  readonly opened: Promise<unknown>;
  /**
   * Carries out a batch of commands. Batches run one after the other, in the order in which they come, and none after one that has
   * failed.
   */
  run(commands: readonly DeviceCommand[]): void;
} {
  const opened = gpu.then((each) => open(each, answer));
  opened.catch((error: Error) => tell(answer, ANSWERED.failed, described(error)));
  let last: Promise<unknown> = opened;
  return {
    opened,
    run(commands) {
      last = last.then(async () => (await opened).run(commands));
      if (commands.at(-1)?.do === 'read')
        last.then(
          () => tell(answer, ANSWERED.done),
          (error: Error) => tell(answer, ANSWERED.failed, described(error)),
        );
      else last.catch(() => undefined);
    },
  };
}
