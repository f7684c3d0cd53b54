/* Drives NiiVue on the cases of this page. Nothing is fetched: every volume is text in the page itself. */
"use strict";
(() => {
  const root = document.getElementById("viewer");
  if (!root) return;
  const part = (name) => root.querySelector(`[data-viewer=${name}]`);
  const cases = JSON.parse(document.getElementById("viewer-index").textContent);
  const canvas = part("canvas");
  const state = { place: -1, nv: null, base: null, map: null, mask: null, timer: 0, frame: 0, turn: Promise.resolve() };

  const bytes = (id) => {
    const text = atob(document.getElementById(id).textContent);
    const out = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
    return out.buffer;
  };
  const say = (text) => { part("status").textContent = text; };
  const current = () => cases[state.place];
  const layers = (...kinds) => current().layers.filter((layer) => kinds.includes(layer.kind));

  const start = async () => {
    if (state.nv) return;
    const script = document.createElement("script");
    script.textContent = document.getElementById("niivue-source").textContent;
    document.head.append(script);
    const nv = new window.niivue.Niivue({
      backColor: [0, 0, 0, 1], crosshairColor: [1, 0.85, 0.2, 0.7], crosshairWidth: 1, dragAndDropEnabled: false,
      isNearestInterpolation: true, isRadiologicalConvention: true, logLevel: "error", loadingText: "",
      multiplanarForceRender: false, multiplanarShowRender: 0, show3Dcrosshair: false, viewModeHotKey: "",
      clipPlaneHotKey: "", cycleClipPlaneHotKey: "", dragMode: 3,
    });
    await nv.attachToCanvas(canvas);
    nv.onLocationChange = () => { if (current()) showPlace(); };
    state.nv = nv;
  };

  /* One thing after another: a second choice waits until the first is drawn. */
  const queue = (job) => {
    state.turn = state.turn.then(job).catch((error) => {
      console.error(error);
      say(`The viewer failed: ${error.message}`);
      root.dataset.state = "failed";
    });
    return state.turn;
  };

  /* What a volume is to look like is settled before it is added, for each change of it draws all of its voxels anew. */
  const read = (layer, look = {}) => {
    const name = `${layer.volume}.nii.gz`;
    return window.niivue.NVImage.loadFromUrl({ url: name, name, buffer: bytes(layer.volume), colorbarVisible: false, ...look });
  };

  const table = (labels) => {
    const of = (at) => [0, ...labels.map((l) => parseInt(l.colour.slice(at, at + 2), 16))];
    return { R: of(1), G: of(3), B: of(5), A: [0, ...labels.map((l) => (l.other && !part("all").checked ? 0 : 255))], labels: ["", ...labels.map((l) => l.name)] };
  };

  const open = async (place) => {
    await start();
    stop();
    state.place = place;
    const shown = current();
    root.dataset.state = "loading";
    say(`Opening ${shown.name} …`);
    Object.assign(state, { base: null, map: null, mask: null });
    fill(part("map"), layers("map"));
    fill(part("mask"), layers("mask", "readings"));
    fill(part("window"), shown.windows.map(([name]) => ({ label: name })), false);
    part("case").value = String(place);
    const base = layers("scan")[0] || layers("map")[0] || shown.layers[0];
    const scan = await read(base);
    if (base.kind === "scan") [, scan.cal_min, scan.cal_max] = shown.windows[0];
    root.dataset.window = shown.windows[0].slice(1).join(" ");
    state.nv.opts.sliceType = shown.flat ? 0 : Number(part("plane").value);
    state.nv.volumes = [];
    state.nv.addVolume(scan);
    state.base = scan;
    part("plane").disabled = shown.flat;
    const dims = state.nv.volumes[0].dimsRAS;
    part("slice").max = String(dims[3] - 1);
    part("slice").disabled = shown.flat;
    goTo(shown.place_mm);
    numbers();
    const first = part("mask").querySelector("option[data-kind=mask]");
    part("mask").value = first ? first.value : "";
    await setMask();
    part("all").closest("label").hidden = !shown.labels.some((label) => label.other);
    part("animation").hidden = !layers("readings").length;
    root.dataset.state = "ready";
    showPlace();
  };

  const fill = (select, entries, nothing = true) => {
    select.replaceChildren();
    if (nothing) select.append(new Option("nothing", ""));
    entries.forEach((entry, k) => {
      const option = new Option(entry.label, String(k));
      if (entry.kind) option.dataset.kind = entry.kind;
      select.append(option);
    });
  };

  const goTo = (mm) => {
    state.nv.scene.crosshairPos = state.nv.mm2frac(mm);
    state.nv.drawScene();
    showPlace();
  };
  const slices = () => state.nv.volumes[0].dimsRAS[3];
  const sliceNow = () => Math.min(slices() - 1, Math.max(0, Math.round(state.nv.scene.crosshairPos[2] * slices() - 0.5)));
  const setSlice = (k) => {
    const position = state.nv.scene.crosshairPos.slice();
    position[2] = (Math.min(slices() - 1, Math.max(0, k)) + 0.5) / slices();
    state.nv.scene.crosshairPos = position;
    state.nv.drawScene();
    showPlace();
  };
  const showPlace = () => {
    if (!state.nv || !state.nv.volumes.length) return;
    const k = sliceNow();
    part("slice").value = String(k);
    const words = [current().name];
    if (!current().flat) words.push(`slice ${k + 1} of ${slices()}, from below`);
    const mm = state.nv.frac2mm(state.nv.scene.crosshairPos);
    const value = state.map && state.map.getValue(...state.map.mm2vox(mm));
    if (state.map) words.push(`${state.mapLayer.label}: ${value.toFixed(3)} ${state.mapLayer.unit}`.trim());
    if (state.mask && state.maskLayer.kind === "readings") words.push(`reading ${state.frame + 1} of ${state.maskLayer.frames}`);
    if (state.mask && !drawnHere()) words.push(`nothing ${part("all").checked ? "" : "of interest "}drawn on this slice`);
    say(words.join("; "));
  };
  /* Whether what is drawn has a visible label in the axial slice; an empty picture is a finding, not a failure. */
  const drawnHere = () => {
    const { permRAS, hdr, img } = state.mask, [, nx, ny, nz] = hdr.dims, all = part("all").checked;
    const sizes = [nx, ny, nz], steps = [1, nx, nx * ny], up = Math.abs(permRAS[2]) - 1;
    const k = permRAS[2] < 0 ? sizes[up] - 1 - sliceNow() : sliceNow();
    const [a, b] = [0, 1, 2].filter((axis) => axis !== up);
    const from = (state.maskLayer.kind === "readings" ? state.frame * nx * ny * nz : 0) + k * steps[up];
    for (let j = 0; j < sizes[b]; j++) {
      for (let i = 0; i < sizes[a]; i++) {
        const v = img[from + i * steps[a] + j * steps[b]];
        if (v && (all || !current().labels[v - 1].other)) return true;
      }
    }
    return false;
  };

  const setWindow = () => {
    const [, low, high] = current().windows[Number(part("window").value)];
    const volume = state.nv.volumes[0];
    if (layers("scan").length) { volume.cal_min = low; volume.cal_max = high; }
    state.nv.updateGLVolume();
    root.dataset.window = `${low} ${high}`;
  };

  /* All at once, for every change of a volume draws all voxels of all volumes; what was drawn lies on top. */
  const arrange = () => {
    const { nv, base, map, mask } = state;
    nv.volumes = [base, map, mask].filter(Boolean);
    nv.back = base;
    nv.overlays = nv.volumes.slice(1);
    nv.updateGLVolume();
    nv.drawScene();
  };
  const opacity = (name) => {
    if (!state[name]) return;
    state[name].opacity = Number(part(`${name}-opacity`).value);
    arrange();
  };

  const setMap = async () => {
    const value = part("map").value, layer = value === "" ? null : layers("map")[Number(value)];
    state.map = null;
    if (layer) {
      const volume = await read(layer, { colormap: layer.colours, opacity: Number(part("map-opacity").value) });
      state.map = volume; state.mapLayer = layer;
      volume.cal_min = 0.1 * layer.top; volume.cal_max = layer.top; /* a colour map finds limits of its own */
      volume.colormapType = 2; /* what is below the least is clear, and the colours still begin at 0 */
    }
    arrange();
    key(layer);
    root.dataset.map = layer ? layer.label : "";
    showPlace();
  };

  const setMask = async () => {
    const value = part("mask").value;
    const layer = value === "" ? null : layers("mask", "readings")[Number(value)];
    if (!layer || layer.kind !== "readings") stop();
    state.mask = null;
    if (layer) {
      const volume = await read(layer, { opacity: Number(part("mask-opacity").value) });
      state.mask = volume; state.maskLayer = layer;
      volume.setColormapLabel(table(current().labels));
      if (layer.kind === "readings") {
        state.frame = Math.min(state.frame, layer.frames - 1);
        volume.frame4D = state.frame;
      }
      if (part("outline").checked) outlined(volume);
    }
    arrange();
    legend();
    root.dataset.mask = layer ? layer.label : "";
    root.dataset.frame = String(state.frame);
    showPlace();
  };
  /* What is left of each label is its rim within the slice; NiiVue's own would fill what is one slice thick. */
  const outlined = (volume) => {
    const [, nx, ny] = volume.hdr.dims, from = volume.img, to = new from.constructor(from.length);
    for (let i = 0, x = 0, y = 0; i < from.length; i++) {
      const v = from[i];
      if (v && (x === 0 || y === 0 || x === nx - 1 || y === ny - 1
        || from[i - 1] !== v || from[i + 1] !== v || from[i - nx] !== v || from[i + nx] !== v)) to[i] = v;
      if (++x === nx) { x = 0; if (++y === ny) y = 0; }
    }
    volume.img = to;
  };

  const key = (layer) => {
    part("key").hidden = !layer;
    if (!layer) return;
    part("key-bar").className = `bar ${layer.colours}`;
    part("key-top").textContent = `${Number(layer.top.toFixed(2))} ${layer.unit}`.trim();
  };

  const step = (by) => queue(async () => {
    const reading = layers("readings")[0];
    if (!reading) return;
    if (!state.mask || state.maskLayer !== reading) {
      const options = [...part("mask").options];
      part("mask").value = options.find((o) => o.dataset.kind === "readings").value;
      await setMask();
    } else {
      state.frame = (state.frame + by + reading.frames) % reading.frames;
      state.nv.setFrame4D(state.mask.id, state.frame);
    }
    root.dataset.frame = String(state.frame);
    showPlace();
  });
  const stop = () => {
    clearInterval(state.timer);
    state.timer = 0;
    part("play").textContent = "Play the readings";
    part("play").setAttribute("aria-pressed", "false");
  };
  const play = () => {
    if (state.timer) { stop(); return; }
    part("play").textContent = "Pause";
    part("play").setAttribute("aria-pressed", "true");
    step(1);
    state.timer = setInterval(() => step(1), 700);
  };

  const numbers = () => {
    const shown = current();
    const list = part("numbers");
    list.replaceChildren();
    for (const [name, text] of shown.numbers) {
      const row = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = name; dd.textContent = text;
      row.append(dt, dd); list.append(row);
    }
    part("notes").replaceChildren(...shown.notes.map((note) => {
      const item = document.createElement("li");
      item.textContent = note;
      return item;
    }));
    part("row").href = `#${shown.anchor}`;
  };
  /* Names and colours of what may be drawn: lungs, say, only where every class is. */
  const legend = () => {
    const drawn = state.mask ? current().labels.filter((label) => part("all").checked || !label.other) : [];
    part("legend").replaceChildren(...drawn.map((label) => {
      const item = document.createElement("span"), swatch = document.createElement("span");
      swatch.className = "swatch"; swatch.style.borderColor = label.colour;
      item.append(swatch, label.name);
      return item;
    }));
  };

  const on = (name, event, job) => part(name).addEventListener(event, job);
  on("case", "change", () => queue(() => open(Number(part("case").value))));
  on("plane", "change", () => queue(() => { state.nv.setSliceType(Number(part("plane").value)); }));
  on("window", "change", () => queue(setWindow));
  on("map", "change", () => queue(setMap));
  on("mask", "change", () => queue(setMask));
  on("map-opacity", "input", () => queue(() => opacity("map")));
  on("mask-opacity", "input", () => queue(() => opacity("mask")));
  on("outline", "change", () => queue(setMask));
  on("all", "change", () => queue(setMask));
  on("slice", "input", () => queue(() => setSlice(Number(part("slice").value))));
  on("play", "click", play);
  on("back", "click", () => step(-1));
  on("on", "click", () => step(1));
  /* Before NiiVue: its own keys move the cross by other letters. */
  canvas.addEventListener("keydown", (event) => {
    const jobs = {
      ArrowUp: () => setSlice(sliceNow() + 1), PageUp: () => setSlice(sliceNow() + 1),
      ArrowDown: () => setSlice(sliceNow() - 1), PageDown: () => setSlice(sliceNow() - 1),
      ArrowRight: () => { step(1); }, ArrowLeft: () => { step(-1); }, " ": play,
    };
    if (!jobs[event.key] || event.ctrlKey || event.metaKey || event.altKey || !state.nv) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    jobs[event.key]();
  }, true);

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-case]");
    if (link) queue(() => open(Number(link.dataset.case)));
  });
  /* The library and the first case are read when the viewer comes into sight, not before. */
  const seen = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    seen.disconnect();
    queue(() => (state.place < 0 ? open(0) : null));
  }, { rootMargin: "200px" });
  seen.observe(root);
  root.dataset.state = "waiting";
})();
