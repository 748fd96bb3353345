/**
 * The two programs of the graphics card. A texel holds h = (v - offset) / scale of the channels and 1 where the pixel is known,
 * h = 0 and 0 where not; after linear filtering h / a is the mean over the known neighbours, so edges stay exact.
 */
export const VERTEX = `#version 300 es
// A rectangle of the image (image px) drawn into the view; textured from its tile.
uniform vec4 u_rectangle;  // x0, y0, x1, y1 in image px
uniform vec4 u_texels;     // the same rectangle in texture coordinates
uniform vec4 u_camera;     // x, y in image px; 2 zoom / width, 2 zoom / height (negative: y grows downwards)
out vec2 v_texel;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  vec2 image = mix(u_rectangle.xy, u_rectangle.zw, corner);
  v_texel = mix(u_texels.xy, u_texels.zw, corner);
  gl_Position = vec4((image - u_camera.xy) * u_camera.zw, 0.0, 1.0);
}`;

export const FRAGMENT = `#version 300 es
precision highp float;
precision highp sampler2D;
uniform sampler2D u_tile;
uniform sampler2D u_colours;
uniform vec3 u_offset;
uniform vec3 u_scale;
uniform vec3 u_shadows;
uniform vec3 u_range;       // highlights - shadows
uniform vec3 u_midtones;
uniform float u_strength;   // of asinh
uniform float u_saturation;
uniform float u_opacity;
uniform int u_channels;
uniform int u_curve;        // 0 midtones, 1 asinh, 2 generalised hyperbolic
uniform vec3 u_hyperbola;   // amount D, shape b, symmetry SP
uniform vec4 u_straight;    // below LP, above HP, and the slopes there
uniform vec2 u_ends;        // the raw curve at 0; 1 / (at 1 - at 0)
uniform int u_is_coloured;  // 1: one channel through the table of colours
in vec2 v_texel;
out vec4 o_colour;

vec3 asinh_of(vec3 x) { return log(x + sqrt(x * x + 1.0)); }

// The base of the generalised hyperbolic stretch for x >= 0 (steps/finish/tone/curves.py).
vec3 base_of(vec3 x) {
  float d = u_hyperbola.x, b = u_hyperbola.y;
  if (b == -1.0) return log(1.0 + d * x);
  if (b < 0.0) return (1.0 - pow(1.0 - b * d * x, vec3((b + 1.0) / b))) / (d * (b + 1.0));
  if (b == 0.0) return 1.0 - exp(-d * x);
  return 1.0 - pow(1.0 + b * d * x, vec3(-1.0 / b));
}

vec3 hyperbolic_of(vec3 t) {
  vec3 inside = clamp(t, u_straight.x, u_straight.y) - u_hyperbola.z;
  vec3 raw = sign(inside) * base_of(abs(inside));
  raw += min(t - u_straight.x, 0.0) * u_straight.z + max(t - u_straight.y, 0.0) * u_straight.w;
  return clamp((raw - u_ends.x) * u_ends.y, 0.0, 1.0);
}

void main() {
  vec4 texel = texture(u_tile, v_texel);
  float known = u_channels == 1 ? texel.g : texel.a;
  if (known <= 0.0) { o_colour = vec4(0.0); return; }
  vec3 h = (u_channels == 1 ? texel.rrr : texel.rgb) / known;
  // The offset is taken from the shadows first: two near numbers of single precision, whose difference is exact.
  vec3 t = clamp(((u_offset - u_shadows) + u_scale * h) / u_range, 0.0, 1.0);
  vec3 shown;
  if (u_curve == 0) shown = (u_midtones - 1.0) * t / ((2.0 * u_midtones - 1.0) * t - u_midtones);
  else if (u_curve == 1) shown = asinh_of(u_strength * t) / asinh_of(vec3(u_strength));
  else shown = hyperbolic_of(t);
  if (u_is_coloured == 1) shown = texture(u_colours, vec2(shown.r, 0.5)).rgb;
  else if (u_saturation != 1.0) {
    float luminance = dot(shown, vec3(0.2126, 0.7152, 0.0722));
    shown = clamp(mix(vec3(luminance), shown, u_saturation), 0.0, 1.0);
  }
  float alpha = u_opacity * min(known, 1.0);
  o_colour = vec4(shown * alpha, alpha);
}`;

/** Return 256 colours from dark to bright that keep their order in grey (cubehelix, Green 2011, BASI 39, 289). */
export function cubehelix(start = 0.5, rotations = -1.2, hue = 1.1): Uint8Array<ArrayBuffer> {
  const table = new Uint8Array(256 * 4);
  for (let i = 0; i < 256; i += 1) {
    const grey = i / 255;
    const angle = 2 * Math.PI * (start / 3 + 1 + rotations * grey);
    const amplitude = (hue * grey * (1 - grey)) / 2;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const colour = [
      grey + amplitude * (-0.14861 * cos + 1.78277 * sin),
      grey + amplitude * (-0.29227 * cos - 0.90649 * sin),
      grey + amplitude * (1.97294 * cos),
    ];
    colour.forEach((value, c) => { table[4 * i + c] = Math.round(255 * Math.min(1, Math.max(0, value))); });
    table[4 * i + 3] = 255;
  }
  return table;
}
