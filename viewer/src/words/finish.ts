/**
 * The names of finishing operations, of their settings and of the words that settings can have, in both languages, with the help in
 * French; the English help is the schema's own, but for the few given here that would speak of the program. A test holds these lists
 * against the register of operations: one without words fails it.
 */
import { language } from "../state/view";

/** Per operation: English name, French name, French title. */
export const OPERATIONS: Record<string, readonly [string, string, string]> = {
  crop: ["Crop", "Rognage", "Rogner à ce qui est bien couvert, ou à un cadre."],
  gradient: ["Gradient", "Gradient", "Ôter le gradient du fond de ciel."],
  bayer: ["Filter response", "Réponse des filtres", "Compenser la réponse inégale des filtres du capteur."],
  neutral: ["Neutral sky", "Fond neutre", "Rendre le fond de ciel neutre."],
  balance: ["White balance", "Balance des blancs", "Équilibrer les blancs."],
  matrix: ["Colour matrix", "Matrice de couleur", "Écarter les couleurs des filtres."],
  deconvolution: ["Deconvolution", "Déconvolution", "Affiner d’après le profil des étoiles."],
  scnr: ["Green (SCNR)", "Vert (SCNR)", "Réduire le vert, ou le magenta, qu’aucun objet n’a."],
  duoband: ["Duo-band filter", "Filtre bi-bande", "Séparer H-alpha et [OIII] derrière un filtre bi-bande."],
  noise: ["Noise", "Bruit", "Réduire le bruit là où rien n’est significatif."],
  smooth: ["Smooth", "Lissage", "Lisser le fond par un filtre médian, gaussien ou bilatéral."],
  contrast: ["Local contrast", "Contraste local", "Relever le contraste local, entre les étoiles."],
  stars: ["Stars", "Étoiles", "Ôter les étoiles, les affaiblir, ou ne garder qu’elles."],
  palette: ["Palette", "Palette", "Montrer des bandes en rouge, vert et bleu."],
  auto_stretch: ["Auto stretch", "Étirement auto", "Étirer par tons moyens pour que le fond prenne un gris donné."],
  asinh_stretch: ["Asinh stretch", "Étirement asinh", "Étirer par le sinus hyperbolique inverse."],
  two_stage_stretch: ["Two-stage stretch", "Étirement double", "Étirer à part la lumière faible et les cœurs brillants."],
  hyperbolic_stretch: ["Hyperbolic (GHS)", "Hyperbolique (GHS)", "Étirer par la courbe hyperbolique généralisée."],
  manual_stretch: ["Stretch by hand", "Étirement manuel", "Étirer par ombres, tons moyens et hautes lumières."],
  lrgb: ["Luminance (LRGB)", "Luminance (LRGB)", "Prendre la luminance d’une autre image."],
  saturation: ["Saturation", "Saturation", "Renforcer ou affaiblir les couleurs."],
  colourmap: ["Colour map", "Fausses couleurs", "Montrer une image monochrome en couleurs selon sa luminosité."],
};

/** Per setting, as "operation.setting" or, where several share it, as "setting": English name, French name, French help, English help. */
export const SETTINGS: Record<string, readonly [string, string, string, string?]> = {
  "crop.coverage": ["Least coverage", "Couverture minimale", "Garder le plus grand cadre dont les lignes et colonnes ont au moins cette part de la plus longue pose."],
  "crop.box": ["Box", "Cadre", "Garder ce cadre : gauche, haut, droite, bas, en pixels du maître."],
  "gradient.model": ["Model", "Modèle", "Un polynôme tient sur toute l’image et à travers les objets. Mailles et fonctions radiales suivent aussi ce qu’aucun polynôme ne suit."],
  "gradient.order": ["Order", "Ordre", "Du polynôme ; vide : choisi entre 1, 2 et 3 d’après l’image.", "Of the polynomial; empty: 1, 2 or 3, as the image tells. A nebula that fills half of the field leaves no more than 1 or 2 to be told."],
  "gradient.mode": ["Mode", "Mode", "La lumière du ciel s’ajoute : soustraire. Ce qu’un flat a manqué multiplie : diviser."],
  "gradient.keep_level": ["Keep the level", "Garder le niveau", "Laisser le fond médian en place ; sinon l’amener à 0.", "Leave the median sky in place; otherwise it is brought to 0 (1 where divided)."],
  "gradient.cell_px": ["Cell, px", "Cellule, px", "Côté d’une cellule, pair ; vide : un 32e du petit côté.", "Side of a cell, even; empty: a 32nd of the shorter side."],
  "gradient.kappa": ["Objects from, sigma", "Objets dès, sigma", "À partir d’où une cellule compte comme objet."],
  "gradient.grow_cells": ["Widen objects", "Élargir les objets", "De combien de cellules les objets sont élargis."],
  "gradient.tolerance": ["Tolerance", "Tolérance", "Part du fond : une lumière plus faible sur bien des cellules n’en est pas distinguée."],
  "gradient.smoothing_cells": ["Smoothing", "Lissage", "Sigma des mailles, en cellules."],
  "gradient.use_colours": ["Use colours", "Utiliser les couleurs", "Prendre le ciel pour d’une seule couleur, afin de trouver l’émission d’une autre."],
  "bayer.limit": ["Limit", "Limite", "Les gains restent entre l’inverse de cette limite et elle."],
  "neutral.by": ["By", "Par", "Ajouter à chaque canal ce qui amène son fond à la cible, ou le multiplier."],
  "neutral.target": ["Level", "Niveau", "Niveau commun du fond ; vide : celui du vert.", "Common level of the background; empty: that of the green channel."],
  "balance.method": ["Method", "Méthode", "D’après l’étoile usuelle de l’image, les étoiles du catalogue, un monde gris, le fond, ou des gains donnés.", "What is white: the usual star of the image, a star of the catalogue of the colour below, all light together, the sky, or gains by hand."],
  "balance.gains": ["Gains", "Gains", "Du rouge, du vert et du bleu, pour « à la main ».", "Of red, green and blue, where by hand."],
  "balance.white": ["White star, B − V", "Étoile blanche, B − V", "Indice de couleur de l’étoile qui devient blanche.", "Colour index of the star that is white."],
  "balance.keep_background": ["Keep the background", "Garder le fond", "Les gains agissent sur la lumière au-dessus du fond, qui garde sa couleur.", "Gains act on the light above the background, which keeps its colour."],
  "balance.normalise": ["Gain of 1", "Gain égal à 1", "Quel gain vaut 1."],
  "matrix.matrix": ["Matrix", "Matrice", "Une matrice par son nom.", "One of the matrices by name."],
  "matrix.boost": ["Boost", "Force", "0 ne change rien, 1 est la matrice.", "0 changes nothing, 1 is the matrix."],
  "matrix.keep_luminance": ["Keep the luminance", "Garder la luminance", "La luminance de chaque pixel reste."],
  "deconvolution.fwhm_share": ["FWHM, share", "FWHM, part", "FWHM des étoiles après, rapportée à celle d’avant. 0,7 demande une image bien échantillonnée et peu bruitée."],
  "deconvolution.least_fwhm_px": ["Least FWHM, px", "FWHM minimale, px", "Les étoiles ne deviennent pas plus étroites."],
  "deconvolution.iterations": ["Iterations", "Itérations", "Nombre de passes.", "Number of passes."],
  "deconvolution.threshold": ["Threshold, sigma", "Seuil, sigma", "Signification locale à partir de laquelle il y a quelque chose à affiner."],
  "scnr.colour": ["Colour", "Couleur", "Couleur à réduire.", "Which colour is reduced."],
  "scnr.method": ["Method", "Méthode", "À quoi le vert est comparé. Les masques valent pour une image étirée.", "What green is compared with. The masks are for green, in stretched pictures."],
  "scnr.strength": ["Strength", "Force", "Part de l’excès qui est ôtée.", "Share of the excess that is taken."],
  "scnr.keep_lightness": ["Keep the lightness", "Garder la clarté", "Rendre la luminance ôtée, dans la nouvelle couleur."],
  "scnr.spare_sigma": ["Spare, sigma", "Épargner, sigma", "Un excès jusqu’à tant de sigmas de son bruit reste. 0 : la méthode publiée."],
  "scnr.keep_background": ["Keep the background", "Garder le fond", "Rendre ce que le vert perd en moyenne dans le bruit du fond : un ciel neutre le reste.", "Give back what green loses in the noise of the background on average: a neutral sky stays neutral."],
  "duoband.response": ["Response", "Réponse", "Lignes rouge, vert, bleu : ce qu’elles voient d’une unité de H-alpha, d’[OIII] et, en troisième colonne, de continuum."],
  "noise.strength": ["Strength", "Force", "Part du bruit ôtée là où rien n’est significatif. Un reste garde l’aspect d’une photographie."],
  "noise.colour_strength": ["Colour strength", "Force en couleur", "De même pour la couleur."],
  "noise.threshold": ["Threshold, sigma", "Seuil, sigma", "Signification à partir de laquelle une structure compte : moins garde plus de détails faibles, et de bruit."],
  "noise.colour_threshold": ["Colour threshold, sigma", "Seuil en couleur, sigma", "De même pour la couleur.", "The same for the colour."],
  "noise.n_scales": ["Scales", "Échelles", "Tailles de structure dont le bruit est ôté : environ 1, 2, 4, 8, 16 et 32 px."],
  "smooth.method": ["Filter", "Filtre", "Médiane d’un carré, moyenne selon la distance, ou selon la ressemblance aussi."],
  "smooth.size_px": ["Size, px", "Taille, px", "Côté du carré."],
  "smooth.protect_sigma": ["Protect, sigma", "Protéger, sigma", "Ce qui dépasse le fond d’autant est un objet et reste. 0 : tout est lissé."],
  "contrast.strength": ["Strength", "Force", "0,5 renforce de moitié les structures significatives ; sous 0, adoucit."],
  "contrast.smallest": ["Smallest band", "Plus petite bande", "Tailles d’environ 2^(k − 1) px.", "Sizes of about 2^(k − 1) px: 3 is 4 px."],
  "contrast.largest": ["Largest band", "Plus grande bande", "Tailles d’environ 2^(k − 1) px.", "Sizes of about 2^(k − 1) px: 6 is 32 px."],
  "contrast.threshold": ["Threshold, sigma", "Seuil, sigma", "À partir d’où une structure compte : le bruit n’est pas renforcé."],
  "stars.stars.kappa": ["Stars from, sigma", "Étoiles dès, sigma", "Ce qu’une étoile doit atteindre."],
  "stars.stars.spare_cores": ["Spare cores of galaxies", "Épargner les noyaux", "Laisser les noyaux brillants des galaxies.", "Leave the bright cores of galaxies."],
  "stars.core_sigma": ["Fill cores from, sigma", "Remplir les cœurs dès, sigma", "Au-dessus, l’image est remplie d’après les alentours ; en dessous, le profil de l’étoile est soustrait."],
  "stars.noise": ["Noise in filled places", "Bruit des places remplies", "Part du bruit de l’image que reçoivent les places remplies."],
  "stars.seed": ["Seed", "Graine", "De ce bruit."],
  "stars.star_share": ["Share of the stars", "Part des étoiles", "0 : une image sans étoiles ; 0,5 : des étoiles plus petites et plus faibles."],
  "stars.rest_share": ["Share of the rest", "Part du reste", "0 : les étoiles seules."],
  "palette.palette": ["Palette", "Palette", "Les dynamiques changent avec la luminosité et valent pour une image étirée.", "The dynamic ones change with the brightness, for stretched pictures."],
  "palette.bands_in_order": ["Bands in order", "Bandes dans l’ordre", "Lettres des bandes des canaux : H, O et S."],
  "palette.level": ["Level bands", "Égaliser les bandes", "Amener d’abord les bandes au même bruit, au plus d’autant. 0 : les laisser."],
  colours: ["Colours", "Couleurs", "Une courbe par canal (fond neutre), une pour tous, ou une pour la seule luminosité, qui garde les rapports des canaux.", "A curve for each channel (neutral sky, colours of objects change), one for all, or one for the brightness alone, which keeps the ratios of the channels."],
  target: ["Sky brightness", "Luminosité du fond", "Ce que devient le fond.", "What the sky becomes, where the strength is not given."],
  "auto_stretch.shadows_sigma": ["Black point, sigma", "Point noir, sigma", "Le noir, en sigmas du fond depuis son niveau."],
  black_sigma: ["Black point, sigma", "Point noir, sigma", "Le noir, en sigmas du fond depuis son niveau."],
  white_quantile: ["White point, share", "Point blanc, part", "Part des pixels plus sombres que le blanc."],
  black: ["Black, value", "Noir, valeur", "Le noir par sa valeur au lieu du point noir.", "Black by its value, instead of the black point."],
  white: ["White, value", "Blanc, valeur", "Le blanc par sa valeur au lieu du point blanc.", "White by its value, instead of the white point."],
  "asinh_stretch.strength": ["Strength", "Force", "L’inverse dit où la courbe plie ; vide : celle qui amène le fond à sa luminosité.", "The range over this is where it bends; empty: what brings the sky to its brightness."],
  "two_stage_stretch.faint": ["Strength, faint", "Force, faible", "Sous le coude ; vide : celle qui amène le fond à sa luminosité.", "Below the knee; empty: what brings the sky to its brightness."],
  "two_stage_stretch.core": ["Strength, cores", "Force, cœurs", "Au-dessus du coude."],
  "two_stage_stretch.knee_quantile": ["Knee, share", "Coude, part", "Part des pixels plus sombres que le coude."],
  "hyperbolic_stretch.stretch_factor": ["Factor ln(D + 1)", "Facteur ln(D + 1)", "0 ne change rien ; vide : celui qui amène le fond à sa luminosité.", "0 changes nothing; empty: what brings the sky to its brightness."],
  "hyperbolic_stretch.shape": ["Shape b", "Forme b", "À quel point l’étirement se tient près de son point de symétrie.", "How closely the stretch keeps to its point of symmetry."],
  "hyperbolic_stretch.symmetry": ["Symmetry SP", "Symétrie SP", "Où le contraste croît le plus ; vide : le pied du fond.", "Where the contrast grows most; empty: the foot of the sky."],
  "hyperbolic_stretch.protect_low": ["Protect shadows LP", "Protéger les ombres LP", "Au-dessous, la courbe est droite.", "Below, the curve is straight."],
  "hyperbolic_stretch.protect_high": ["Protect highlights HP", "Protéger les lumières HP", "Au-dessus, la courbe est droite.", "Above, the curve is straight."],
  "manual_stretch.shadows": ["Shadows", "Ombres", "Une pour tous les canaux, ou une chacun."],
  "manual_stretch.midtones": ["Midtones", "Tons moyens", "0,5 est droit."],
  "manual_stretch.highlights": ["Highlights", "Hautes lumières", "Une pour tous les canaux, ou une chacun."],
  "lrgb.method": ["Method", "Méthode", "Échanger L* (Lab) ou V (HSV) d’une image étirée, ou multiplier les canaux, aussi en linéaire.", "Exchange L* of Lab or V of HSV in stretched pictures, or multiply the channels, also in linear light."],
  "lrgb.weight": ["Weight", "Poids", "De la nouvelle luminance."],
  "lrgb.chroma": ["Chroma", "Chroma", "Facteur sur les couleurs.", "Factor on the colours."],
  "lrgb.luminance": ["Luminance", "Luminance", "Une image monochrome de ce projet, posée par ses coordonnées.", "A mono image of this project, laid by its coordinates."],
  "saturation.factor": ["Factor", "Facteur", "0 est gris, 1 ne change rien."],
  "saturation.method": ["Method", "Méthode", "Par la luminance, aussi en linéaire ; lab et hsv valent pour une image étirée.", "By the luminance, also in linear light; lab and hsv are for stretched pictures."],
  "saturation.shadows": ["Fade in below", "Fondu en dessous", "Luminance dès laquelle le facteur est entier ; le bruit du ciel sombre n’est pas coloré.", "Luminance from which on the factor is full: the noise of the dark sky is not coloured."],
  "colourmap.name": ["Colours", "Couleurs", "La table des couleurs.", "The table of colours."],
  "mask.kind": ["Where", "Où", "La lumière des étoiles, tout objet, galaxies et nébuleuses sans étoiles, ou la luminosité même.", "The light of the stars, every object, galaxies and nebulae without stars, or the brightness itself."],
  "mask.kappa": ["From, sigma", "Dès, sigma", "À partir d’où quelque chose compte."],
  "mask.grow_px": ["Widen, px", "Élargir, px", "De combien le masque est élargi, ou rétréci."],
  "mask.feather_px": ["Feather, px", "Fondu, px", "Largeur de la rampe autour."],
};

/** Words that a setting can have, where the word itself would not do: English, French. */
export const OPTIONS: Record<string, readonly [string, string]> = {
  polynomial: ["polynomial", "polynôme"], mesh: ["mesh", "mailles"], radial: ["radial functions", "fonctions radiales"],
  subtract: ["subtract", "soustraire"], divide: ["divide", "diviser"], level: ["adding", "addition"], share: ["multiplying", "multiplication"],
  stars: ["stars of the image", "étoiles de l’image"], catalogue: ["catalogue stars", "étoiles du catalogue"], gray_world: ["grey world", "monde gris"],
  background: ["background", "fond"], manual: ["by hand", "à la main"], none: ["none", "aucune"], green: ["green", "vert"], largest: ["the largest", "le plus grand"],
  neutral: ["neutral", "neutre"], rich: ["rich", "riche"], vivid: ["vivid", "vive"], ha_emission: ["H-alpha emission", "émission H-alpha"], magenta: ["magenta", "magenta"],
  average: ["average", "moyenne"], maximum: ["maximum", "maximum"], additive_mask: ["additive mask", "masque additif"], maximum_mask: ["maximum mask", "masque maximal"],
  median: ["median", "médian"], gaussian: ["Gaussian", "gaussien"], bilateral: ["bilateral", "bilatéral"], bicolour: ["bicolour", "bicolore"], natural: ["natural", "naturelle"],
  dynamic_SHO: ["dynamic SHO", "SHO dynamique"], dynamic_HOO: ["dynamic HOO", "HOO dynamique"], each: ["a curve each", "une courbe chacun"], linked: ["one curve", "une courbe commune"],
  kept: ["colours kept", "couleurs gardées"], direct: ["direct", "direct"], lab: ["Lab", "Lab"], hsv: ["HSV", "HSV"], luminance: ["luminance", "luminance"],
  grayscale: ["grey", "gris"], cool: ["cool", "froides"], warm: ["warm", "chaudes"], blue_gold: ["blue and gold", "bleu et or"], h_alpha: ["H-alpha", "H-alpha"], oiii: ["[OIII]", "[OIII]"],
  star: ["stars", "étoiles"], object: ["objects", "objets"], galaxy: ["galaxies and nebulae", "galaxies et nébuleuses"], soft: ["by brightness", "selon la luminosité"],
};

/** Per preset: English name, French name, English and French help. */
export const PRESETS: Record<string, readonly [string, string, string, string]> = {
  preview: ["Preview", "Aperçu", "A quick picture: crop, gradient, neutral sky, green, noise, automatic stretch.", "Une image rapide : rognage, gradient, fond neutre, vert, bruit, étirement automatique."],
  galaxy: ["Galaxy", "Galaxie", "A dark sky, white balance by the catalogue, bright cores kept.", "Un fond sombre, blancs d’après le catalogue, noyaux brillants gardés."],
  nebula: ["Nebula", "Nébuleuse", "Faint light lifted, colours strong.", "Lumière faible relevée, couleurs fortes."],
  cluster: ["Cluster", "Amas", "Stars and their colours.", "Les étoiles et leurs couleurs."],
  duoband: ["Duo-band", "Bi-bande", "H-alpha and [OIII] of a duo-band filter as red and blue-green.", "H-alpha et [OIII] d’un filtre bi-bande en rouge et bleu-vert."],
  none: ["Empty", "Vide", "No step: only those that you add.", "Aucune étape : seulement celles que vous ajoutez."],
};

const k = (): 0 | 1 => (language.value === "fr" ? 1 : 0);
const plain = (name: string): string => name.replaceAll("_", " ");

export const operationName = (name: string): string => OPERATIONS[name]?.[k()] ?? plain(name);
export const operationTitle = (name: string, english: string): string => (k() === 1 ? OPERATIONS[name]?.[2] ?? english : english);

const settingOf = (operation: string, name: string) => SETTINGS[`${operation}.${name}`] ?? SETTINGS[name];
export const settingLabel = (operation: string, name: string): string => settingOf(operation, name)?.[k()] ?? plain(name);
export function settingHelp(operation: string, name: string, english: string): string {
  const words = settingOf(operation, name);
  return (k() === 1 ? words?.[2] : words?.[3]) ?? english;
}
export const optionText = (option: string): string => OPTIONS[option]?.[k()] ?? plain(option);
export const presetName = (name: string): string => PRESETS[name]?.[k()] ?? plain(name);
export const presetHelp = (name: string, english: string): string => PRESETS[name]?.[k() === 1 ? 3 : 2] ?? english;
