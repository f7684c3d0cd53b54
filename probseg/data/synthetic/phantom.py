"""A chest in Hounsfield units: body, bones, mediastinum, two lungs with their vessels and airways.

Millimetres from the middle of the volume; z towards superior, y towards posterior, x towards left. Everything is a
formula of place and patient, so a chest has the same anatomy whatever the voxels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from probseg.case import Geometry
from probseg.data.synthetic.fields import smooth_field
from probseg.data.synthetic.lesions import axes_of
from probseg.data.synthetic.tree import Tubes, fill, grow, straight

__all__ = ["Anatomy", "make_anatomy"]

Volume = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A healthy chest, kept in parts so that disease can be laid between them; every array is the volume's shape.

    Attributes:
        tissue: HU of everything but lung.
        aerated: HU of lung without vessels and airways.
        lungs: 0 outside, 1 left lung, 2 right lung (dense labels of the label set).
        aeration: part of the voxel that is lung, 0 to 1.
        depth_mm: distance from the chest wall and the diaphragm, positive inside the chest.
        vessels: part of the voxel that is blood, 0 to 1, in the lungs.
        lumen: part that is air in an airway.
        wall: part that is the wall of an airway, lumen included.
    """

    tissue: Volume
    aerated: Volume
    lungs: NDArray[np.uint8]
    aeration: Volume
    depth_mm: Volume
    vessels: Volume
    lumen: Volume
    wall: Volume

    def compose(self, added_hu: Volume | float = 0.0, dense: Volume | float = 0.0) -> Volume:
        """The chest in HU with disease: ``added_hu`` on the lung, ``dense`` the part in which vessels are hidden."""
        hu = self.tissue * (1 - self.aeration) + (self.aerated + added_hu) * self.aeration
        seen = self.vessels * (1.0 - np.asarray(dense, dtype=np.float32))
        hu = hu * (1 - seen) + np.maximum(hu, 40.0) * seen
        hu = hu * (1 - 0.5 * self.wall) + np.maximum(hu, -20.0) * 0.5 * self.wall
        return np.asarray(hu * (1 - self.lumen) - 990.0 * self.lumen, dtype=np.float32)


@dataclass(frozen=True)
class _Patient:
    """Sizes that differ between patients, mm."""

    width: float
    depth: float
    wall_side: float
    wall_back: float
    dome_right: float
    dome_left: float
    heart: float
    tilt: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Patient:
        size = rng.uniform(0.94, 1.04)
        return cls(
            width=160 * size * rng.uniform(0.97, 1.03),
            depth=112 * size * rng.uniform(0.95, 1.05),
            wall_side=rng.uniform(20, 27),
            wall_back=rng.uniform(19, 25),
            dome_right=rng.uniform(-78, -58),
            dome_left=rng.uniform(-90, -70),
            heart=rng.uniform(0.92, 1.1),
            tilt=rng.uniform(-0.04, 0.04),
        )


def make_anatomy(rng: np.random.Generator, geometry: Geometry) -> Anatomy:
    """A healthy chest of one random patient on the voxels of ``geometry``."""
    patient = _Patient.draw(rng)
    shift = rng.uniform(-8, 8, 3) * (1.0, 0.5, 0.5)
    axes = axes_of(geometry)
    z, y, x = (
        (a - s).astype(np.float32).reshape([-1 if k == n else 1 for k in range(3)])
        for n, (a, s) in enumerate(zip(axes, shift, strict=True))
    )
    x = x + patient.tilt * y
    body, cavity = _outlines(patient, z, y, x)
    cavity = cavity + 2.5 * smooth_field(rng, axes, 55.0, 24)
    depth, rim, side = _lungs(rng, patient, cavity, z, y, x, axes)
    depth = ndimage.gaussian_filter(depth, (0, 1.0, 1.0))  # rounds the corners where two surfaces meet
    lungs = np.where(depth > 0, np.where(side > 0, 1, 2), 0).astype(np.uint8)
    soft = _soft_tissue(rng, patient, body, cavity, z, y, x, axes)
    hang = 45.0 * np.clip((y + 60) / 140, 0, 1)  # the dependent lung is denser in a patient who lies on the back
    aerated = -862.0 + hang + 14.0 * smooth_field(rng, axes, 22.0, 48) + 10.0 * smooth_field(rng, axes, 7.0, 64)
    pixel = min(geometry.spacing[1:]) if geometry.spacing else 1.0
    inside = np.clip(depth / pixel + 0.5, 0, 1)
    vessels, lumen, wall = _tubes(rng, lungs, geometry, shift)
    return Anatomy(soft, aerated.astype(np.float32), lungs, inside, rim, vessels, lumen, wall)


def _outlines(patient: _Patient, z: Volume, y: Volume, x: Volume) -> tuple[Volume, Volume]:
    """Distances inside the skin and inside the chest wall, about in mm, positive inside."""
    power = 2.5
    a, b = patient.width, patient.depth
    body = (1 - ((np.abs(x) / a) ** power + (np.abs(y) / b) ** power) ** (1 / power)) * b + 0 * z
    t = np.clip((z + 120) / 240, -0.2, 1.04)
    taper = np.sqrt(np.clip(1 - ((t - 0.32) / 0.73) ** 4, 0.02, None))
    half_x, half_y = (a - patient.wall_side) * taper, (b - patient.wall_back) * (0.35 + 0.65 * taper)
    rise = 12 * (1 - taper)  # the apices lie towards the back
    cavity = (1 - ((np.abs(x) / half_x) ** 2.3 + (np.abs(y - rise) / half_y) ** 2.3) ** (1 / 2.3)) * np.minimum(
        half_x, half_y
    )
    return body, cavity


def _lungs(
    rng: np.random.Generator, patient: _Patient, cavity: Volume, z: Volume, y: Volume, x: Volume, axes: tuple
) -> tuple[Volume, Volume, Volume]:
    """Distances inside the lungs and inside chest wall and diaphragm, about in mm, and the side (positive left)."""
    back = patient.depth - patient.wall_back
    spine = np.sqrt(np.clip(24.0**2 - (y - (back - 8)) ** 2, 0, None))
    hila = 24.0 * np.exp(-(((y - 6) / 26) ** 2) - (((z - 2) / 30) ** 2))
    upper = 30.0 * np.exp(-(((y + 5) / 38) ** 2)) * np.clip((z + 30) / 90, 0, 1)
    middle = np.maximum(9.0 + np.maximum(hila, upper), spine) + 0.10 * np.clip(-y, 0, None)
    between = np.abs(x) - middle
    heart = patient.heart
    size = np.sqrt(((x - 22) / (66 * heart)) ** 2 + ((y + 26) / (48 * heart)) ** 2 + ((z + 62) / (66 * heart)) ** 2)
    aorta = np.sqrt((x - 20) ** 2 + (y - (back - 32)) ** 2) - 13.0 + np.where(z > 45, 20.0, 0.0)
    right = patient.dome_right - 60 * (((x + 72) / 72) ** 2 + ((y + 8) / 80) ** 2)
    left = patient.dome_left - 60 * (((x - 78) / 72) ** 2 + ((y + 5) / 80) ** 2)
    dome = 0.7 * (z - np.where(x > 0, left, right))
    depth = np.minimum(np.minimum(cavity, between), np.minimum((size - 1) * 45, np.minimum(aorta, dome)))
    depth = depth + 1.6 * smooth_field(rng, axes, 18.0, 48)
    return np.asarray(depth, dtype=np.float32), np.minimum(cavity, dome).astype(np.float32), x


def _soft_tissue(
    rng: np.random.Generator,
    patient: _Patient,
    body: Volume,
    cavity: Volume,
    z: Volume,
    y: Volume,
    x: Volume,
    axes: tuple,
) -> Volume:
    """HU of everything but lung: air, skin, fat, muscle, bone, mediastinum and what lies below the diaphragm."""
    marbling = smooth_field(rng, axes, (30.0, 9.0, 9.0), 48)
    angle = np.arctan2(y, x)
    back = np.clip(y / patient.depth, 0, 1)
    muscle = 11.0 + 9.0 * back * np.abs(np.cos(angle)) ** 0.5 + 3.0 * marbling
    wall = np.clip((cavity + muscle) / 3.0, 0, 1)
    hu = -105.0 + 155.0 * wall + 0.0 * z
    # Ribs run obliquely, so that a slice cuts each one as a short arc.
    turn = np.abs(np.arctan2(x, -y)) / np.pi
    rib = np.cos(2 * np.pi * (z / 26.0 + 2.6 * turn)) > 0.15
    ring = np.exp(-(((cavity + 6.5) / 3.2) ** 2)) * rib * (turn > 0.12)
    hu = hu + ring * (330.0 + 60 * marbling)
    hu = np.where(cavity > 0, _mediastinum(patient, marbling, z, y, x), hu)
    hu = _bones(patient, hu, z, y, x)
    hu = np.where((body > 0) & (body < 2.2), 20.0, hu)
    table = np.abs(y - (patient.depth + 9 + 0.0012 * x**2)) < 2.0
    outside = np.where(table & (np.abs(x) < 170), -620.0, -1000.0)
    pixel = float(abs(axes[2][1] - axes[2][0])) if len(axes[2]) > 1 else 1.0
    skin = np.clip(body / pixel + 0.5, 0, 1)
    return np.asarray(outside * (1 - skin) + hu * skin, dtype=np.float32)


def _mediastinum(patient: _Patient, marbling: Volume, z: Volume, y: Volume, x: Volume) -> Volume:
    back = patient.depth - patient.wall_back
    fat = np.clip(0.5 + 1.4 * marbling + 0.012 * np.clip(-y, 0, None), 0, 1)
    hu = 38.0 - 120.0 * fat
    blood = [
        ((x - 22) / 62) ** 2 + ((y + 26) / 44) ** 2 + ((z + 62) / 66) ** 2 < patient.heart**2,
        (x - 20) ** 2 + (y - (back - 32)) ** 2 < 12**2,
        ((x + 8) ** 2 + (y + 24) ** 2 < 16**2) & (z > -30) & (z < 45),
        ((x - 14) ** 2 + (y + 16) ** 2 < 14**2) & (z > -20) & (z < 22),
        ((x + 26) ** 2 + (y + 14) ** 2 < 9**2) & (z > -20),
        (np.abs(x - 8) < 26) & (np.abs(y - 8 + 0.8 * (x - 8)) < 14) & (np.abs(z - 46) < 10),
    ]
    for part in blood:
        hu = np.where(part, 44.0, hu)
    hu = np.where((x - 6) ** 2 + (y - (back - 36)) ** 2 < 7**2, 30.0, hu)
    below_right = z < patient.dome_right - 60 * (((x + 72) / 72) ** 2 + ((y + 8) / 80) ** 2)
    below_left = z < patient.dome_left - 60 * (((x - 78) / 72) ** 2 + ((y + 5) / 80) ** 2)
    hu = np.where(below_right & (x <= 10), 58.0, hu)
    return np.asarray(np.where(below_left & (x > 10), 42.0 - 90.0 * (marbling > 0.9), hu))


def _bones(patient: _Patient, hu: Volume, z: Volume, y: Volume, x: Volume) -> Volume:
    back = patient.depth - patient.wall_back

    def bone(hu: Volume, inside: Volume, marrow: float, cortex: float) -> Volume:
        return np.where(inside > 0, np.where(inside < 2.8, cortex, marrow), hu)

    hu = bone(hu, 19.0 - np.sqrt((x / 1.12) ** 2 + (y - (back - 6)) ** 2) + 0 * z, 190.0, 340.0)
    canal = np.sqrt(x**2 + (y - (back + 20)) ** 2) + 0 * z
    hu = bone(hu, 13.0 - canal, 260.0, 420.0)
    hu = np.where(canal < 8.0, 25.0, hu)
    across = np.cos(2 * np.pi * z / 26.0) > -0.3
    hu = bone(
        hu, np.where(across, 4.5 - np.abs(y - (back + 16) + 0.1 * np.abs(x)), -1) * (np.abs(x) < 34), 240.0, 330.0
    )
    hu = bone(hu, (4.0 - np.abs(x)) * (y > back + 28) * (y < back + 44), 230.0, 330.0)
    front = -patient.depth + 17
    hu = bone(hu, 7.0 * (1 - np.sqrt((x / 21) ** 2 + ((y - front) / 7) ** 2)) + 0 * z, 140.0, 330.0)
    for sign in (-1, 1):  # the shoulder blades: thin plates behind the upper ribs
        along = sign * x - 88
        plate = 3.2 - np.abs(y - (patient.depth - 46) + 0.55 * along)
        hu = bone(hu, np.where((np.abs(along) < 32) & (z > -20), plate, -1), 250.0, 330.0)
    return hu


def _tubes(
    rng: np.random.Generator, lungs: NDArray[np.uint8], geometry: Geometry, shift: NDArray[np.float64]
) -> tuple[Volume, Volume, Volume]:
    """Fill of vessels, of airway lumen and of airway with wall."""
    axes = axes_of(geometry)
    spacing = geometry.spacing
    assert spacing is not None
    arteries: list[Tubes] = []
    veins: list[Tubes] = []
    bronchi: list[Tubes] = []
    for label, sign in ((1, 1.0), (2, -1.0)):
        voxels = np.stack(np.nonzero(lungs == label), axis=-1)
        if len(voxels) == 0:
            continue
        hilum = shift + np.array([2.0, 8.0, sign * 32.0])
        for tree, number, tip, at in ((arteries, 230, 0.8, 0.0), (veins, 170, 0.75, -9.0)):
            chosen = voxels[rng.integers(0, len(voxels), number)] + rng.uniform(-0.5, 0.5, (number, 3))
            targets = np.stack([a[0] + c * s for a, c, s in zip(axes, chosen.T, spacing, strict=True)], axis=-1)
            tree.append(grow(rng, hilum + np.array([at, at, 0.0]), targets, tip))
        artery = arteries[-1]
        beside = np.array([1.0, 2.2, 0.0]) * (1.0 + artery.radius_mm[:, None] * 0.5)
        bronchi.append(Tubes(artery.points_mm + beside, artery.radius_mm * 0.85).wider_than(1.1))
    within = np.nonzero(lungs > 0)
    lung_points = np.stack([a[i] for a, i in zip(axes, within, strict=True)], axis=-1)
    windpipe = _windpipe(shift)
    reach = windpipe.radius_mm.max() + 5.0
    low, high = windpipe.points_mm.min(axis=0) - reach, windpipe.points_mm.max(axis=0) + reach
    box = np.ix_(*[np.flatnonzero((a > p) & (a < q)) for a, p, q in zip(axes, low, high, strict=True)])
    box_points = np.stack(np.meshgrid(*[a[i.ravel()] for a, i in zip(axes, box, strict=True)], indexing="ij"), axis=-1)
    vessels, lumen, wall = (np.zeros(lungs.shape, dtype=np.float32) for _ in range(3))
    if len(lung_points):
        vessels[within] = fill(_joined(arteries + veins), lung_points, spacing)
        lumen[within] = fill(_joined(bronchi), lung_points, spacing)
        wall[within] = fill(_joined(bronchi).thicker(1.0), lung_points, spacing)
    for part, tubes in ((lumen, windpipe), (wall, windpipe.thicker(1.0))):
        filled = fill(tubes, box_points.reshape(-1, 3), spacing).reshape(box_points.shape[:3])
        part[box] = np.maximum(part[box], filled)
    return vessels, lumen, wall


def _windpipe(shift: NDArray[np.float64]) -> Tubes:
    """Trachea, carina and main bronchi."""
    top, carina = np.array([150.0, -2.0, 2.0]), np.array([28.0, 6.0, 0.0])
    trachea = straight(np.stack([top, carina]), np.array([8.5, 8.5]))
    right = straight(np.array([carina, [14.0, 9.0, -16.0], [2.0, 10.0, -36.0]]), np.array([7.5, 6.5, 4.5]))
    left = straight(np.array([carina, [16.0, 10.0, 18.0], [2.0, 12.0, 42.0]]), np.array([7.0, 5.8, 4.2]))
    tubes = trachea + right + left
    return Tubes(tubes.points_mm + shift, tubes.radius_mm)


def _joined(tubes: list[Tubes]) -> Tubes:
    return Tubes(np.concatenate([t.points_mm for t in tubes]), np.concatenate([t.radius_mm for t in tubes]))
