type Context = CanvasRenderingContext2D;

/** Clears a canvas and scales it to the screen. @returns its size in CSS pixels; null while it is hidden */
export function paintable(
  canvas: HTMLCanvasElement,
): { readonly context: Context; readonly width: number; readonly height: number } | null {
  const { clientWidth: width, clientHeight: height } = canvas;
  const context = canvas.getContext('2d');
  if (context === null || width === 0 || height === 0) return null;
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** A box in px. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** Draws diagonal lines over a box, in the context's colour and width. Lines beyond the canvas are left out. */
export function hatch(context: Context, { left, top, width, height }: Box, gap: number): void {
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  context.beginPath();
  const end = Math.min(left + width, context.canvas.width);
  for (let x = Math.max(left - height, -gap - height); x < end; x += gap) {
    context.moveTo(x, top + height);
    context.lineTo(x + height, top);
  }
  context.stroke();
  context.restore();
}
