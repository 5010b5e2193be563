// How an image's numbers become pixels. Bokeh asks its mapper cell by cell, turns the bytes of every pixel
// around, and reads back the canvas that it is about to write. Done when the module is read; the pixels are the
// same.

const linearMapper = globalThis.Bokeh?.Models.get("LinearColorMapper")?.prototype;
const imageView = globalThis.Bokeh?.Models.get("Image")?.prototype.default_view.prototype;

/** A colour of Bokeh's, 0xrrggbbaa, as a canvas holds it on this machine. */
function asPixel(colour) {
  const pixel = new Uint32Array(1);
  new DataView(pixel.buffer).setUint32(0, colour);
  return pixel[0];
}

/** The pixels of numbers: each number's place between low and high chooses a colour. */
function pixelsOf(numbers, { low, high, colours, nan }) {
  const pixels = new Uint32Array(numbers.length);
  const count = colours.length;
  // Bokeh's own arithmetic, so that a number on the edge of two colours gets the same one.
  const factor = 1 / (high - low);
  const interval = 1 / count;
  for (let at = 0; at < numbers.length; at++) {
    const number = numbers[at];
    if (number === high) pixels[at] = colours[count - 1];
    else if (number !== number) pixels[at] = nan;
    else {
      const place = Math.floor(((number - low) * factor) / interval);
      pixels[at] = colours[place < 0 ? 0 : place >= count ? count - 1 : place];
    }
  }
  return new Uint8ClampedArray(pixels.buffer);
}

if (linearMapper && !Object.hasOwn(linearMapper, "rgba_mapper")) {
  const inherited = Object.getPrototypeOf(linearMapper);
  const packed = new WeakMap(); // palette to its pixels
  Object.defineProperty(linearMapper, "rgba_mapper", {
    configurable: true,
    get() {
      const { low, high, palette, low_color, high_color, domain } = this;
      if (low === null || high === null || low_color !== null || high_color !== null || domain.length > 0) {
        return Reflect.get(inherited, "rgba_mapper", this);
      }
      const { color2rgba, encode_rgba } = globalThis.Bokeh.require("core/util/color");
      const pixel = (colour) => asPixel(encode_rgba(color2rgba(colour)));
      if (!packed.has(palette)) packed.set(palette, Uint32Array.from(palette, pixel));
      const scale = { low, high, colours: packed.get(palette), nan: pixel(this.nan_color) };
      return {
        v_compute: (numbers) => {
          // What a colour bar reads.
          this._scan_data = this.scan(numbers, palette.length);
          this.metrics_change.emit();
          return pixelsOf(numbers, scale);
        },
      };
    },
  });
}

if (imageView && !Object.hasOwn(imageView, "_set_image_data_from_buffer")) {
  imageView._set_image_data_from_buffer = function putPixels(at, pixels) {
    const canvas = this._get_or_create_canvas(at);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.putImageData(new ImageData(pixels, canvas.width, canvas.height), 0, 0);
    this.image_data[at] = canvas;
  };
}
