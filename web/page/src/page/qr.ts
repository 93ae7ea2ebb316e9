import { encode } from 'uqr';

const SVG = 'http://www.w3.org/2000/svg';

/** A picture of a text, for cameras. */
export function qr(text: string): SVGSVGElement {
  const { data, size } = encode(text, { ecc: 'M', border: 3 });
  const picture = document.createElementNS(SVG, 'svg');
  picture.setAttribute('viewBox', `0 0 ${size} ${size}`);
  picture.setAttribute('role', 'img');
  picture.setAttribute('aria-label', 'The link, as a QR code');
  const dots = document.createElementNS(SVG, 'path');
  dots.setAttribute('d', data.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : ''))).join(''));
  picture.append(dots);
  return picture;
}
