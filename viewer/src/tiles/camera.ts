/**
 * Where the eye is: which image pixel lies in the middle of the view, and how many screen px one image px takes.
 *
 * Pixel centres are at integers, so pixel 0 covers -0.5 to 0.5. A picture whose first row is the lowest is drawn mirrored:
 * its y grows upwards on the screen.
 */
export interface Camera {
  /** Image px in the middle of the view. */
  x: number;
  y: number;
  /** Screen px (of the device, not of the style sheet) that one image px takes. */
  zoom: number;
}

export interface ViewSize { width: number; height: number }
export interface ImageSize { width: number; height: number; isBottomUp: boolean }

export const MOST_ZOOM = 64;

const direction = (image: ImageSize): number => (image.isBottomUp ? -1 : 1);

export function toScreen(camera: Camera, view: ViewSize, image: ImageSize, x: number, y: number): [number, number] {
  return [
    view.width / 2 + (x - camera.x) * camera.zoom,
    view.height / 2 + direction(image) * (y - camera.y) * camera.zoom,
  ];
}

export function toImage(camera: Camera, view: ViewSize, image: ImageSize, sx: number, sy: number): [number, number] {
  return [
    camera.x + (sx - view.width / 2) / camera.zoom,
    camera.y + (direction(image) * (sy - view.height / 2)) / camera.zoom,
  ];
}

export function fitZoom(view: ViewSize, image: ImageSize): number {
  return Math.min(view.width / image.width, view.height / image.height);
}

export function fitCamera(view: ViewSize, image: ImageSize): Camera {
  return { x: (image.width - 1) / 2, y: (image.height - 1) / 2, zoom: fitZoom(view, image) };
}

/** Return the camera after zooming so that the image point under (sx, sy) stays there. */
export function zoomAt(camera: Camera, view: ViewSize, image: ImageSize, factor: number, sx: number, sy: number): Camera {
  const least = Math.min(1, fitZoom(view, image)) / 4;
  const zoom = Math.min(MOST_ZOOM, Math.max(least, camera.zoom * factor));
  const [x, y] = toImage(camera, view, image, sx, sy);
  return {
    x: x - (sx - view.width / 2) / zoom,
    y: y - (direction(image) * (sy - view.height / 2)) / zoom,
    zoom,
  };
}

/** Return the camera after a drag of (dx, dy) screen px; the middle stays within the image. */
export function panBy(camera: Camera, image: ImageSize, dx: number, dy: number): Camera {
  const clamp = (value: number, size: number): number => Math.min(size - 0.5, Math.max(-0.5, value));
  return {
    ...camera,
    x: clamp(camera.x - dx / camera.zoom, image.width),
    y: clamp(camera.y - (direction(image) * dy) / camera.zoom, image.height),
  };
}
