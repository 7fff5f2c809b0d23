/* Measures the page that it runs in: its width, what is too wide, and what can hardly be read. */
function (leastContrast) {
  const root = document.documentElement;
  const window_ = root.clientWidth;

  const name = (element) => {
    const classes = typeof element.className === "string" ? element.className.trim() : "";
    const text = element.textContent.trim().replace(/\s+/g, " ").slice(0, 60);
    return `<${element.tagName.toLowerCase()}${classes && " " + classes}> ${text}`;
  };

  const scrolls = (element) => {
    for (let each = element; each && each !== root; each = each.parentElement) {
      const style = getComputedStyle(each);
      if (/auto|scroll|hidden|clip/.test(style.overflowX) || style.position === "fixed") return true;
    }
    return false;
  };

  const wide = [...document.body.querySelectorAll("*")]
    .filter((each) => each.getBoundingClientRect().right > window_ + 1 && !scrolls(each))
    .slice(0, 3)
    .map(name);

  // Colours are mixed as they lie above each other, then compared (WCAG 2.1, 1.4.3).
  const colour = (text) => {
    const numbers = (text.match(/[\d.]+/g) || []).map(Number);
    return numbers.length >= 3 ? [...numbers.slice(0, 3), numbers[3] ?? 1] : null;
  };
  const above = (top, below) => {
    const part = (at) => top[at] * top[3] + below[at] * (1 - top[3]);
    return [part(0), part(1), part(2), 1];
  };
  const behind = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      const found = colour(getComputedStyle(each).backgroundColor);
      if (found && found[3] > 0) layers.push(found);
      if (found && found[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => above(top, below), [255, 255, 255, 1]);
  };
  // Below a text of a drawing are the boxes that are drawn before it, at its middle.
  const drawnBelow = (text) => {
    const svg = text.closest("svg");
    const { x, y, width, height } = text.getBoundingClientRect();
    const [across, down] = [x + width / 2, y + height / 2];
    let below = behind(svg.parentElement);
    for (const each of svg.querySelectorAll("rect")) {
      const comes = each.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING;
      const place = each.getBoundingClientRect();
      const fill = colour(getComputedStyle(each).fill);
      if (!comes || !fill || each.closest("defs")) continue;
      if (place.left > across || place.right < across) continue;
      if (place.top <= down && place.bottom >= down) below = above(fill, below);
    }
    return below;
  };
  const light = (mixed) => {
    const [r, g, b] = mixed.slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [most, least] = [light(one), light(other)].sort((a, b) => b - a);
    return (most + 0.05) / (least + 0.05);
  };

  const faint = new Set();
  const content = document.querySelector(".md-content") || document.body;
  const walker = document.createTreeWalker(content, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    const style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    if (!node.data.trim() || !box.width || !box.height || style.visibility === "hidden") continue;
    if (style.opacity === "0" || element.closest("script, style, .headerlink")) continue;
    const drawn = element instanceof SVGElement;
    const ink = colour(drawn ? style.fill : style.color);
    if (!ink) continue;
    const paper = drawn ? drawnBelow(element) : behind(element);
    const ratio = contrast(above(ink, paper), paper);
    if (ratio < leastContrast) faint.add(`${ratio.toFixed(1)}:1 ${name(element)}`);
  }
  return {
    width: root.scrollWidth,
    window: window_,
    wide,
    faint: [...faint].slice(0, 5),
    dark: light(behind(document.body)) < 0.5,
  };
}
