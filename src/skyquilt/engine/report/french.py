"""
The report in French: a catalogue of sentences by their English template, whole because it is only looked up.

Sentences stand here with plain spaces; those that do not break a line cannot be seen in a source, so `_typeset` puts
them in.
"""

from __future__ import annotations

import re
from types import MappingProxyType

from skyquilt.engine.report.language import NO_BREAK_SPACE, Language

__all__ = ["FRENCH"]

_BEFORE_SIGNS = re.compile(r" (?=[:;?!%»])|(?<=«) ")
_BEFORE_UNITS = re.compile(r"(?<=\}) (?=(?:px|s|ADU|°C|σ|degrés?)\b)")

_PHRASES = {
    # the page
    "{name} - stacking report": "{name} – rapport d’empilement",
    "Skip to the report": "Aller au rapport",
    "Sections": "Parties",
    "Made by {program}. The raw frames were only read.": "Fait par {program}. Les brutes ont seulement été lues.",
    "Session {name}": "Session {name}",
    "telescope {name}": "télescope {name}",
    "filter {name}": "filtre {name}",
    "{first} to {last} (UTC)": "du {first} au {last} (TU)",
    "Worth knowing": "Bon à savoir",
    "The stack": "L’empilement",
    "The mosaic": "La mosaïque",
    "What was done": "Ce qui a été fait",
    "What was left out": "Ce qui a été écarté",
    "The frames over time": "Les brutes au fil du temps",
    "Every frame": "Toutes les brutes",
    "Table of the frames": "Table des brutes",
    "Calibration": "Calibration",
    "Files": "Fichiers",
    "Settings and versions": "Réglages et versions",
    "Notes": "Remarques",
    "Figure": "Grandeur",
    "Value": "Valeur",
    "{text}: {reason}": "{text} : {reason}",
    # the stack in figures
    "No figures were recorded.": "Aucune valeur n’a été enregistrée.",
    "The stack of {name}, stretched for the eye": "L’empilement de {name}, étiré pour l’œil",
    "Stretched so that the faint parts show; the master itself is linear.": (
        "Étiré pour montrer ce qui est faible ; le maître lui-même est linéaire."
    ),
    "Frames stacked": "Brutes empilées",
    "{n} of {total}": "{n} sur {total}",
    "Exposure": "Pose",
    "effective: {duration}, weights and rejection counted": "effective : {duration}, poids et rejets compris",
    "Signal to noise against one frame": "Signal sur bruit, par rapport à une brute",
    "{channels}; equal frames would give √{n} = {ideal}": ("{channels} ; des brutes égales donneraient √{n} = {ideal}"),
    "Noise": "Bruit",
    "per pixel: {channels}": "par pixel : {channels}",
    "Star size (FWHM)": "Taille des étoiles (FWHM)",
    "one frame, resampled likewise: {reference} px; as the sensor saw them, median: {frames} px": (
        "une brute, rééchantillonnée de même : {reference} px ; telles que le capteur les a vues, médiane : {frames} px"
    ),
    "Rejected samples": "Valeurs rejetées",
    "too dark {low}, too bright {high}": "trop sombres {low}, trop claires {high}",
    "Stars in the stack": "Étoiles de l’empilement",
    "sky {channels} ADU": "fond de ciel {channels} ADU",
    "Picture": "Image",
    "On the sky": "Sur le ciel",
    "{scale} arcsec/px": "{scale}″/px",
    "Zero point, mag (VT of 1 ADU/s)": "Point zéro, mag (VT de 1 ADU/s)",
    "Colour term, mag per mag of BT - VT": "Terme de couleur, mag par mag de BT - VT",
    "Limiting magnitude, 5 sigma": "Magnitude limite, 5 σ",
    "Sky, mag per square arcsecond": "Fond de ciel, mag par seconde d’arc carrée",
    # what was done
    "Choose": "Choisir",
    "Calibrate": "Calibrer",
    "Place": "Situer",
    "Register": "Aligner",
    "Colour": "Couleur",
    "Normalise and weigh": "Normaliser et pondérer",
    "Reject and combine": "Rejeter et combiner",
    "Write": "Écrire",
    "{found}; {left_out}": "{found} ; {left_out}",
    "No dark, flat or bias frames were used.": "Aucun dark, flat ou offset n’a servi.",
    "The {master}, was subtracted from every frame.": "De chaque brute a été soustrait le {master}.",
    "The {master}, was subtracted from the flats.": "Des flats a été soustrait le {master}.",
    "The {master}, was divided out of every frame.": "Chaque brute a été divisée par le {master}.",
    "Pixels pile up at {ceiling} ADU, below the {full_scale} ADU that the files could hold: that is where they were "
    "taken to be saturated.": (
        "Les pixels plafonnent à {ceiling} ADU, sous les {full_scale} ADU que les fichiers pourraient contenir : c’est "
        "là qu’ils ont été tenus pour saturés."
    ),
    "master {kind} of {facts}": "maître {kind} de {facts}",
    "gain {gain}": "gain {gain}",
    "scaled by {factor}": "mis à l’échelle par {factor}",
    "bias": "offset",
    "dark": "dark",
    "flat": "flat",
    "flat-dark": "dark de flat",
    "The stars of each frame were matched with those of the reference frame {file}.": (
        "Les étoiles de chaque brute ont été appariées à celles de la brute de référence {file}."
    ),
    "The stars of each frame were matched with those of the reference frame.": (
        "Les étoiles de chaque brute ont été appariées à celles de la brute de référence."
    ),
    "They agree to {residual} px (median residual per axis).": (
        "Elles s’accordent à {residual} px près (résidu médian par axe)."
    ),
    "The field turned by {angle} degrees during the session.": (
        "Le champ a tourné de {angle} degrés pendant la session."
    ),
    "The frames have no colour filter array, so there was nothing to debayer.": (
        "Les brutes n’ont pas de matrice de Bayer : il n’y avait rien à dématricer."
    ),
    "The frames were moved by whole cells of the colour filter array: no pixel was interpolated.": (
        "Les brutes ont été décalées par cellules entières de la matrice de Bayer : aucun pixel n’a été interpolé."
    ),
    "Each colour was sampled straight from the pixels of that colour; no frame was debayered.": (
        "Chaque couleur a été prise droit sur les pixels de cette couleur ; aucune brute n’a été dématricée."
    ),
    "Colour was made with the {method} method.": "La couleur a été faite par la méthode {method}.",
    "Colour was made with the {method} method, balanced to stars that have {red} in red and {blue} in blue for 1 in "
    "green.": (
        "La couleur a été faite par la méthode {method}, équilibrée sur des étoiles qui ont {red} dans le rouge et "
        "{blue} dans le bleu pour 1 dans le vert."
    ),
    "Each pixel was interpolated once ({kernel}), straight onto the canvas.": (
        "Chaque pixel a été interpolé une seule fois ({kernel}), directement dans le cadre final."
    ),
    "Where on the sky the stack lies is not known: {reason}.": (
        "La position de l’empilement sur le ciel n’est pas connue : {reason}."
    ),
    "The stars of the reference were found in the catalogue ({n} of them, {residual} px apart): {place}.": (
        "Les étoiles de la référence ont été retrouvées dans le catalogue (appariées : {n}, à {residual} px près) : "
        "{place}."
    ),
    "centre RA {ra}, Dec {dec}, {scale} arcsec a pixel, y axis at position angle {angle} degrees": (
        "centre AD {ra}, Déc {dec}, {scale}″ par pixel, axe y à l’angle de position {angle}°"
    ),
    "Sky level and star brightness of each frame were brought to the reference's.": (
        "Le fond de ciel et l’éclat des étoiles de chaque brute ont été amenés à ceux de la référence."
    ),
    "The level of the frames was left as it was.": "Le niveau des brutes a été laissé tel quel.",
    "The sky of each frame was brought to the reference's level.": (
        "Le fond de ciel de chaque brute a été amené au niveau de celui de la référence."
    ),
    "The star brightness of each frame was brought to the reference's.": (
        "L’éclat des étoiles de chaque brute a été amené à celui de la référence."
    ),
    "All frames count alike.": "Toutes les brutes comptent autant.",
    "The weight of a frame follows how well faint stars stand out in it (transparency, noise and sharpness).": (
        "Le poids d’une brute suit la netteté avec laquelle les étoiles faibles s’y détachent (transparence, bruit et "
        "finesse)."
    ),
    "The weight of a frame follows its sharpness.": "Le poids d’une brute suit la finesse de ses étoiles.",
    "The weight of a frame follows its number of stars.": "Le poids d’une brute suit son nombre d’étoiles.",
    "The weight of a frame follows its noise.": "Le poids d’une brute suit son bruit.",
    "The weight of a frame follows its transparency.": "Le poids d’une brute suit sa transparence.",
    "The weight of a frame follows its exposure.": "Le poids d’une brute suit son temps de pose.",
    "The weight of a frame follows its {figure}.": "Le poids d’une brute suit sa valeur de {figure}.",
    "One flux scale for each frame makes the stars that frames share agree; one surface for each frame makes the sky "
    "agree wherever frames overlap, so that what the sky itself holds stays.": (
        "Une échelle de flux par brute accorde les étoiles communes ; une surface par brute accorde les fonds de ciel "
        "partout où les brutes se recouvrent, de sorte que ce qui est vraiment sur le ciel demeure."
    ),
    "Frames fade out over {width} px from their edges.": "Les brutes sont fondues sur {width} px depuis leurs bords.",
    "No samples were rejected.": "Aucune valeur n’a été rejetée.",
    "Strays (satellites, cosmic rays, hot pixels) were rejected by the {rule} rule.": (
        "Les intrus (satellites, rayons cosmiques, pixels chauds) ont été rejetés par la règle {rule}."
    ),
    "Strays (satellites, cosmic rays, hot pixels) were rejected by the {rule} rule: {share}.": (
        "Les intrus (satellites, rayons cosmiques, pixels chauds) ont été rejetés par la règle {rule} : {share}."
    ),
    "The mean of what remained is the stack.": "L’empilement est la moyenne de ce qui restait.",
    "The median of what remained is the stack.": "L’empilement est la médiane de ce qui restait.",
    "The sum of what remained is the stack.": "L’empilement est la somme de ce qui restait.",
    "The min of what remained is the stack.": "L’empilement est le minimum de ce qui restait.",
    "The max of what remained is the stack.": "L’empilement est le maximum de ce qui restait.",
    "The {how} of what remained is the stack.": "L’empilement réunit ce qui restait par la méthode {how}.",
    "In all {duration} of exposure.": "En tout {duration} de pose.",
    "The stack is linear and in ADU, like the raw frames.": "L’empilement est linéaire et en ADU, comme les brutes.",
    "The stack is linear; {full_scale} ADU became 1. Nothing was stretched or cut off.": (
        "L’empilement est linéaire ; {full_scale} ADU sont devenus 1. Rien n’a été étiré ni coupé."
    ),
    # the mosaic
    "{placed}, {pointings}.": "{placed} : {pointings}.",
    "The distortion of the optics was found to order {orders}.": (
        "La distorsion de l’optique a été déterminée à l’ordre {orders}."
    ),
    "The mosaic in figures": "La mosaïque en chiffres",
    "The frames on the canvas": "Les brutes dans le cadre",
    "Map of the frames on the canvas": "Carte des brutes dans le cadre",
    "Pointing": "Pointage",
    "Pointings": "Pointages",
    "Overlaps": "Recouvrements",
    "How pointings agree where they overlap, those that agree worst first": (
        "L’accord des pointages là où ils se recouvrent, les moins bons d’abord"
    ),
    "Sky covered": "Ciel couvert",
    "{area} square degrees, {projection} projection": "{area} degrés carrés, projection {projection}",
    "Holes": "Trous",
    "none": "aucun",
    "{n}, {area} square degrees": "{n}, {area} degrés carrés",
    "Exposure of a pixel, median / most": "Pose d’un pixel, médiane / maximum",
    "Frames agree to": "Accord des brutes entre elles",
    "Catalogue agrees to": "Accord avec le catalogue",
    "{angle} arcsec": "{angle}″",
    "Fluxes of a star in several frames, scatter": "Flux d’une étoile dans plusieurs brutes, dispersion",
    "Fluxes between pointings, largest difference": "Flux entre pointages, plus grand écart",
    "Sky between pointings, largest step": "Fond de ciel entre pointages, plus grand saut",
    "{step} sigma of a pixel": "{step} σ d’un pixel",
    "The same before the solution": "Le même avant la solution",
    "{step} sigma": "{step} σ",
    "RA, degrees": "AD, degrés",
    "Dec, degrees": "Déc, degrés",
    "Transparency": "Transparence",
    "{first} and {second}": "{first} et {second}",
    "Square degrees": "Degrés carrés",
    "Flux ratio": "Rapport des flux",
    "Sky step before, sigma": "Saut du fond avant, σ",
    "Sky step after, sigma": "Saut du fond après, σ",
    # what was left out
    "Light frames that were left out, by reason": "Brutes écartées, par motif",
    "Frames": "Brutes",
    "Why": "Pourquoi",
    "For example": "Par exemple",
    "unnamed": "sans nom",
    "Every light frame was stacked.": "Toutes les brutes ont été empilées.",
    "Other files below the folder that took no part: {n}": "Autres fichiers du dossier qui n’ont pas servi : {n}",
    "Other files that took no part": "Autres fichiers qui n’ont pas servi",
    # the plots
    "No frame was measured.": "Aucune brute n’a été mesurée.",
    "stacked": "empilée",
    "left out": "écartée",
    "Times are UTC. Frames stand side by side, gaps between nights are not shown.": (
        "Les heures sont en TU. Les brutes se suivent côte à côte, sans les intervalles entre les nuits."
    ),
    "no stacked frame": "aucune brute empilée",
    "{low} to {high}": "de {low} à {high}",
    "frame {number}": "brute {number}",
    "{file}: {value}": "{file} : {value}",
    "{file}: {value}, left out: {reason}": "{file} : {value}, écartée : {reason}",
    "Width of the stars: smaller is sharper.": "Largeur des étoiles : plus petite, plus fine.",
    "Sky background": "Fond de ciel",
    "Brightness of the sky: moon, twilight, clouds raise it.": (
        "Luminosité du ciel : la lune, le crépuscule et les nuages l’augmentent."
    ),
    "Stars found": "Étoiles trouvées",
    "Clouds and haze lower it.": "Nuages et brume en laissent moins.",
    "Eccentricity": "Excentricité",
    "Elongation of the stars: 0 is round, 1 is a line.": "Allongement des étoiles : 0 rond, 1 un trait.",
    "Star light that arrived, compared with the reference frame.": (
        "Lumière reçue des étoiles, par rapport à la brute de référence."
    ),
    "Weight": "Poids",
    "How much the frame counts in the stack.": "Ce que la brute compte dans l’empilement.",
    "Registration residual": "Résidu d’alignement",
    "How well its stars fall on those of the reference.": (
        "Écart de ses étoiles à celles de la référence, une fois alignées."
    ),
    "Share of its pixels that were refused as strays.": "Part de ses pixels rejetés comme intrus.",
    # the table of frames
    "No frames.": "Aucune brute.",
    "Every light frame in the order of exposure: what was measured, what was decided and why": (
        "Toutes les brutes dans l’ordre des poses : ce qui a été mesuré, ce qui a été décidé et pourquoi"
    ),
    "Show all {n} frames": "Montrer les {n} brutes",
    "What the columns mean": "Signification des colonnes",
    "Frame": "Brute",
    "Decision": "Décision",
    "stacked, the reference": "empilée, la référence",
    "✕ left out: {reason}": "✕ écartée : {reason}",
    "✕ left out when the folder was read: {reason}": "✕ écartée à la lecture du dossier : {reason}",
    "✕ left out at calibration: {reason}": "✕ écartée à la calibration : {reason}",
    "✕ left out when it was measured: {reason}": "✕ écartée à la mesure : {reason}",
    "✕ left out at selection: {reason}": "✕ écartée à la sélection : {reason}",
    "✕ left out at registration: {reason}": "✕ écartée à l’alignement : {reason}",
    "✕ left out at integration: {reason}": "✕ écartée à l’intégration : {reason}",
    "Time": "Heure",
    "UTC": "TU",
    "Start of the exposure.": "Début de la pose.",
    "s": "s",
    "Exposure time.": "Temps de pose.",
    "Sensor": "Capteur",
    "°C": "°C",
    "Temperature of the sensor.": "Température du capteur.",
    "FWHM": "FWHM",
    "px": "px",
    "Width of the stars at half their height: smaller is sharper.": (
        "Largeur des étoiles à mi-hauteur : plus petite, plus fine."
    ),
    "Eccentr.": "Excentr.",
    "0-1": "0 à 1",
    "Stars": "Étoiles",
    "Stars found.": "Étoiles trouvées.",
    "Sky": "Fond",
    "ADU": "ADU",
    "Brightness of the sky background.": "Luminosité du fond de ciel.",
    "Noise of the sky per pixel.": "Bruit du fond de ciel par pixel.",
    "Saturated": "Saturés",
    "Share of pixels that are full.": "Part des pixels pleins.",
    "Transp.": "Transp.",
    "Score": "Note",
    "How good the frame is; --keep keeps the best.": "Qualité de la brute ; --keep garde les meilleures.",
    "Matched": "Appariées",
    "stars": "étoiles",
    "Stars that were matched with the reference frame.": "Étoiles appariées à celles de la brute de référence.",
    "Residual": "Résidu",
    "How well its stars fall on those of the reference (per axis).": (
        "Écart de ses étoiles à celles de la référence, une fois alignées (par axe)."
    ),
    "Shift x": "Décalage x",
    "Shift y": "Décalage y",
    "Where the frame lies on the reference.": "Place de la brute sur la référence.",
    "Rotation": "Rotation",
    "°": "°",
    "How far the frame is turned against the reference.": "Rotation de la brute par rapport à la référence.",
    "Rejected": "Rejetés",
    "Share of its pixels refused as strays.": "Part de ses pixels rejetés comme intrus.",
    "Trails": "Traînées",
    "Satellite trails masked over their whole length.": "Traînées de satellites masquées sur toute leur longueur.",
    # calibration
    "Used: {master}": "Utilisé : {master}",
    "Calibration frames that were considered": "Images de calibration examinées",
    "Calibration files that were left out": "Fichiers de calibration écartés",
    "File": "Fichier",
    "Kind": "Sorte",
    "Reason": "Motif",
    "file": "fichier",
    "code": "motif",
    "reason": "détail",
    "kind": "sorte",
    "n frames": "poses",
    "exposure s": "pose, s",
    "gain": "gain",
    "temperature c": "température, °C",
    "filter": "filtre",
    "is master": "maître",
    "where": "lieu",
    "verdict": "verdict",
    "yes": "oui",
    "no": "non",
    # files, settings, versions
    "No products were recorded.": "Aucun produit n’a été enregistré.",
    "Check them at any time with {command} and this folder.": (
        "À vérifier à tout moment par {command} suivi de ce dossier."
    ),
    "Products, with the checksum of each file": "Produits, avec la somme de contrôle de chaque fichier",
    "Size": "Taille",
    "What the run chose where a setting says auto": "Ce que le traitement a choisi là où un réglage dit auto",
    "Choice": "Choix",
    "rejection rule": "règle de rejet",
    "debayer method": "méthode de dématriçage",
    "kernel": "noyau d’interpolation",
    "schedule": "ordonnancement",
    "unit": "unité",
    "canvas (x0, y0, x1, y1), px": "cadre (x0, y0, x1, y1), px",
    "digest of the settings": "empreinte des réglages",
    "All settings": "Tous les réglages",
    "Settings of the run": "Réglages du traitement",
    "Setting": "Réglage",
    "Versions": "Versions",
    "Versions and machine": "Versions et machine",
    "Part": "Élément",
    "program": "programme",
}

# by the template for several: for none or one, for several
_COUNTED = {
    "{n} left out": ("{n} écartée", "{n} écartées"),
    "{n} channels, field turned by {angle}°": (
        "{n} canal, champ tourné de {angle}°",
        "{n} canaux, champ tourné de {angle}°",
    ),
    "{n} frames": ("{n} pose", "{n} poses"),
    "{n} light frames were found and all of them were stacked.": (
        "{n} brute a été trouvée et empilée.",
        "{n} brutes ont été trouvées et toutes empilées.",
    ),
    "{n} light frames were found": ("{n} brute a été trouvée", "{n} brutes ont été trouvées"),
    "{n} were left out, each with its reason below.": (
        "{n} a été écartée, avec son motif plus bas.",
        "{n} ont été écartées, chacune avec son motif plus bas.",
    ),
    "{n} hot, cold or dead pixels were replaced from their neighbours.": (
        "{n} pixel chaud, froid ou mort a été remplacé d’après ses voisins.",
        "{n} pixels chauds, froids ou morts ont été remplacés d’après leurs voisins.",
    ),
    "{n} defective pixels were replaced from their neighbours.": (
        "{n} pixel défectueux a été remplacé d’après ses voisins.",
        "{n} pixels défectueux ont été remplacés d’après leurs voisins.",
    ),
    "{n} trails were found and masked over their whole length.": (
        "{n} traînée a été trouvée et masquée sur toute sa longueur.",
        "{n} traînées ont été trouvées et masquées sur toute leur longueur.",
    ),
    "The {n} frames found their places on the sky by their stars": (
        "{n} brute a trouvé sa place sur le ciel par ses étoiles",
        "{n} brutes ont trouvé leur place sur le ciel par leurs étoiles",
    ),
    "{n} pointings": ("{n} pointage", "{n} pointages"),
    "One solution for all of them makes the {n} stars that several frames show agree to {tie} px, and with the "
    "catalogue to {catalogue} arcsec, per axis.": (
        "Une même solution pour toutes accorde, pour {n} étoile vue par plusieurs brutes, les brutes entre elles à "
        "{tie} px près et avec le catalogue à {catalogue}″ près, par axe.",
        "Une même solution pour toutes accorde, pour {n} étoiles vues par plusieurs brutes, les brutes entre elles à "
        "{tie} px près et avec le catalogue à {catalogue}″ près, par axe.",
    ),
    "{tie} px ({n} stars in common)": ("{tie} px ({n} étoile commune)", "{tie} px ({n} étoiles communes)"),
    "{figure} of {n} frames in the order of their exposure; stacked frames: {range}": (
        "{figure} de {n} brute ; brutes empilées : {range}",
        "{figure} de {n} brutes dans l’ordre de leurs poses ; brutes empilées : {range}",
    ),
}

# the same as those of the app (viewer/src/words/reasons.ts)
_REASONS = {
    "alone": "Seule : rien ne la relie aux autres",
    "blank": "Sans signal",
    "blurred": "Floue",
    "bright_sky": "Fond de ciel trop clair",
    "changed": "Fichier modifié pendant le traitement",
    "clouded": "Nuages",
    "device_refused": "Refusée par l’appareil",
    "device_stack": "Empilement fait par l’appareil",
    "does_not_fit": "Ne s’accorde pas avec les autres",
    "duplicate": "Doublon d’une autre image",
    "excluded": "Exclue par un motif de nom",
    "few_stars": "Trop peu d’étoiles",
    "glitch_rows": "Lignes mal lues",
    "gradient": "Gradient trop fort",
    "hidden": "Fichier caché",
    "low_score": "Note trop basse",
    "no_stars": "Sans étoiles",
    "noisy": "Trop de bruit",
    "not_among_best": "Pas parmi les meilleures",
    "not_listed": "Absente de la liste d’images",
    "not_placed": "Sans place sur le ciel",
    "not_registered": "Étoiles non reconnues",
    "not_transparent": "Ciel trop peu transparent",
    "own_output": "Résultat de skyquilt",
    "permission": "Lecture interdite",
    "saturated": "Saturée",
    "stack": "Empilement, pas une brute",
    "star_trails": "Image de filés d’étoiles",
    "stray": "D’une autre sorte que les autres",
    "thumbnail": "Vignette",
    "trailed": "Étoiles étirées",
    "truncated": "Fichier tronqué",
    "unreadable": "Illisible",
    "vanished": "Fichier disparu",
}


def _typeset(text: str) -> str:
    """Return a sentence with spaces that do not break before its double signs and its units."""
    return _BEFORE_UNITS.sub(NO_BREAK_SPACE, _BEFORE_SIGNS.sub(NO_BREAK_SPACE, text))


FRENCH = Language(
    "fr",
    phrases=MappingProxyType({english: _typeset(french) for english, french in _PHRASES.items()}),
    counted=MappingProxyType({english: (_typeset(one), _typeset(many)) for english, (one, many) in _COUNTED.items()}),
    reasons=MappingProxyType({code: _typeset(text) for code, text in _REASONS.items()}),
    singular=(0, 1),
    decimal_mark=",",
    list_mark=f"{NO_BREAK_SPACE}; ",
    byte="o",
    is_spaced=True,
)
