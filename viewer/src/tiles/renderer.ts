/** Draws tiles with WebGL2: one textured rectangle a tile, decoded and stretched on the graphics card. */
import { FIRST_HYPERBOLA, hyperbolicCurve, type Hyperbola } from "../stretch/hyperbolic";
import { CURVES, type Stretch } from "../stretch/stretch";
import type { Camera, ImageSize, ViewSize } from "./camera";
import type { DecodedTile } from "./format";
import type { Bounds } from "./pyramid";
import { cubehelix, FRAGMENT, VERTEX } from "./shaders";

export class NoGraphics extends Error {}

export interface Texture {
  texture: WebGLTexture;
  width: number;
  height: number;
  gutter: number;
  channels: 1 | 3;
  isHalf: boolean;
  offset: readonly [number, number, number];
  scale: readonly [number, number, number];
  bytes: number;
}

/** How one picture is drawn: through its stretch, as colours of a map or as itself, and how opaque. */
export interface Look { stretch: Pick<Stretch, "curve" | "strength" | "hyperbola" | "saturation" | "stf">; isColoured: boolean; opacity: number }

/** A part of the canvas, device px from its upper left corner. */
export interface Port extends ViewSize { left: number; top: number }

const UNIFORMS = [
  "u_rectangle", "u_texels", "u_camera", "u_tile", "u_colours", "u_offset", "u_scale", "u_shadows", "u_range", "u_midtones",
  "u_strength", "u_saturation", "u_opacity", "u_channels", "u_curve", "u_is_coloured", "u_hyperbola", "u_straight", "u_ends",
] as const;
type Uniform = (typeof UNIFORMS)[number];

function compile(gl: WebGL2RenderingContext, kind: number, source: string): WebGLShader {
  const shader = gl.createShader(kind);
  if (!shader) throw new NoGraphics("no shader could be made");
  gl.shaderSource(shader, source);
  gl.compileShader(shader);
  if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new NoGraphics(gl.getShaderInfoLog(shader) ?? "a shader does not compile");
  return shader;
}

export class Renderer {
  readonly gl: WebGL2RenderingContext;
  private readonly program: WebGLProgram;
  private readonly at: Record<Uniform, WebGLUniformLocation | null>;
  private readonly smooth: WebGLSampler;
  private readonly sharp: WebGLSampler;
  private readonly canFilterFloats: boolean;
  private nDrawn = 0;

  constructor(readonly canvas: HTMLCanvasElement) {
    const gl = canvas.getContext("webgl2", { alpha: true, premultipliedAlpha: true, antialias: false, depth: false, preserveDrawingBuffer: false });
    if (!gl) throw new NoGraphics("WebGL2 is not available");
    this.gl = gl;
    this.canFilterFloats = gl.getExtension("OES_texture_float_linear") !== null;
    const program = gl.createProgram();
    gl.attachShader(program, compile(gl, gl.VERTEX_SHADER, VERTEX));
    gl.attachShader(program, compile(gl, gl.FRAGMENT_SHADER, FRAGMENT));
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new NoGraphics(gl.getProgramInfoLog(program) ?? "the shaders do not link");
    this.program = program;
    this.at = Object.fromEntries(UNIFORMS.map((name) => [name, gl.getUniformLocation(program, name)])) as Record<Uniform, WebGLUniformLocation | null>;
    this.smooth = this.sampler(gl.LINEAR);
    this.sharp = this.sampler(gl.NEAREST);
    gl.useProgram(program);
    gl.activeTexture(gl.TEXTURE1);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, cubehelix());
    gl.bindSampler(1, this.smooth);
    gl.uniform1i(this.at.u_tile, 0);
    gl.uniform1i(this.at.u_colours, 1);
    gl.activeTexture(gl.TEXTURE0);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.bindVertexArray(gl.createVertexArray());
  }

  /** Draw calls since the last clear. */
  get draws(): number {
    return this.nDrawn;
  }

  private sampler(filter: number): WebGLSampler {
    const { gl } = this;
    const sampler = gl.createSampler();
    gl.samplerParameteri(sampler, gl.TEXTURE_MIN_FILTER, filter);
    gl.samplerParameteri(sampler, gl.TEXTURE_MAG_FILTER, filter);
    gl.samplerParameteri(sampler, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.samplerParameteri(sampler, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    return sampler;
  }

  upload(tile: DecodedTile): Texture {
    const { gl } = this;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, tile.isHalf ? 2 : 4);
    const [format, internal] = tile.channels === 1
      ? [gl.RG, tile.isHalf ? gl.RG16F : gl.RG32F]
      : [gl.RGBA, tile.isHalf ? gl.RGBA16F : gl.RGBA32F];
    gl.texStorage2D(gl.TEXTURE_2D, 1, internal, tile.width, tile.height);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, tile.width, tile.height, format, tile.isHalf ? gl.HALF_FLOAT : gl.FLOAT, tile.payload);
    const { width, height, gutter, channels, isHalf, offset, scale } = tile;
    return { texture, width, height, gutter, channels, isHalf, offset, scale, bytes: tile.payload.byteLength };
  }

  release(texture: Texture): void {
    this.gl.deleteTexture(texture.texture);
  }

  clear(): void {
    const { gl } = this;
    this.nDrawn = 0;
    gl.disable(gl.SCISSOR_TEST);
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
  }

  /** Choose the part of the canvas, the camera and the look for the draws that follow; nothing is drawn outside of `clip`. */
  begin(port: Port, clip: Port, camera: Camera, image: ImageSize, look: Look): void {
    const { gl, at } = this;
    const bottom = this.canvas.height - port.top - port.height;
    gl.viewport(port.left, bottom, port.width, port.height);
    gl.enable(gl.SCISSOR_TEST);
    gl.scissor(clip.left, this.canvas.height - clip.top - clip.height, clip.width, clip.height);
    const vertical = ((image.isBottomUp ? 2 : -2) * camera.zoom) / port.height;
    gl.uniform4f(at.u_camera, camera.x, camera.y, (2 * camera.zoom) / port.width, vertical);
    const { shadows, midtones, highlights } = look.stretch.stf;
    const three = (values: number[]): [number, number, number] => [values[0] ?? 0, values[1] ?? values[0] ?? 0, values[2] ?? values[0] ?? 0];
    const low = three(shadows);
    const high = three(highlights);
    gl.uniform3f(at.u_shadows, ...low);
    gl.uniform3f(at.u_range, high[0] - low[0] || 1e-30, high[1] - low[1] || 1e-30, high[2] - low[2] || 1e-30);
    gl.uniform3f(at.u_midtones, ...three(midtones));
    gl.uniform1f(at.u_strength, look.stretch.strength);
    gl.uniform1f(at.u_saturation, look.stretch.saturation);
    gl.uniform1i(at.u_curve, CURVES.indexOf(look.stretch.curve));
    if (look.stretch.curve === "hyperbolic") this.chooseHyperbola(look.stretch.hyperbola ?? FIRST_HYPERBOLA);
    gl.uniform1i(at.u_is_coloured, look.isColoured ? 1 : 0);
    gl.uniform1f(at.u_opacity, look.opacity);
  }

  private chooseHyperbola(hyperbola: Hyperbola): void {
    const { gl, at } = this;
    const curve = hyperbolicCurve(hyperbola);
    gl.uniform3f(at.u_hyperbola, curve.amount, curve.shape, curve.symmetry);
    gl.uniform4f(at.u_straight, curve.low, curve.high, curve.slopeLow, curve.slopeHigh);
    gl.uniform2f(at.u_ends, curve.start, 1 / (curve.end - curve.start));
  }

  /** Draw `part` (image px) of the image out of the texture of a tile that covers `whole` (image px). */
  draw(texture: Texture, whole: Bounds, part: Bounds, isSharp: boolean): void {
    const { gl, at } = this;
    const inner = { width: texture.width - 2 * texture.gutter, height: texture.height - 2 * texture.gutter };
    const u = (x: number): number => (texture.gutter + ((x - whole.x0) / (whole.x1 - whole.x0)) * inner.width) / texture.width;
    const v = (y: number): number => (texture.gutter + ((y - whole.y0) / (whole.y1 - whole.y0)) * inner.height) / texture.height;
    gl.bindTexture(gl.TEXTURE_2D, texture.texture);
    gl.bindSampler(0, isSharp || (!texture.isHalf && !this.canFilterFloats) ? this.sharp : this.smooth);
    gl.uniform4f(at.u_rectangle, part.x0, part.y0, part.x1, part.y1);
    gl.uniform4f(at.u_texels, u(part.x0), v(part.y0), u(part.x1), v(part.y1));
    gl.uniform3f(at.u_offset, ...texture.offset);
    gl.uniform3f(at.u_scale, ...texture.scale);
    gl.uniform1i(at.u_channels, texture.channels);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    this.nDrawn += 1;
  }

  dispose(): void {
    this.gl.deleteProgram(this.program);
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}
