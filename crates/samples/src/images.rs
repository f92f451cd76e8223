//! Images for networks: found, read, resized.

use anyhow::{Context, Result, bail, ensure};
use ir::{Dim, Layout};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// An 8-bit image, rows of interleaved channels (HWC); colours in BGR order, as OpenCV reads them and as networks of
/// this toolkit expect them unless converted with `--reverse_input_channels`.
#[derive(Clone, PartialEq, Debug)]
pub struct Image {
    /// Where it came from.
    pub path: PathBuf,
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Bytes of a pixel.
    pub channels: usize,
    /// The rows.
    pub pixels: Vec<u8>,
}

/// The files behind what a user gave: files as they are, the files of folders in order of their names.
pub fn find(arguments: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for argument in arguments {
        if argument.is_dir() {
            let entries =
                fs::read_dir(argument).with_context(|| format!("cannot list {}", argument.display()))?;
            let mut found: Vec<PathBuf> = entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| path.is_file() && is_image(path))
                .collect();
            found.sort();
            ensure!(!found.is_empty(), "the folder {} holds no images", argument.display());
            files.extend(found);
        } else {
            ensure!(argument.is_file(), "no such image: {}", argument.display());
            files.push(argument.clone());
        }
    }
    Ok(files)
}

/// True for names that images go by.
pub fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    is_ubyte(path) || matches!(extension.as_str(), "png" | "jpg" | "jpeg" | "bmp")
}

/// MNIST's own format goes by names like `train-images-idx3-ubyte` or `digit.ubyte`.
fn is_ubyte(path: &Path) -> bool {
    path.file_name().and_then(|n| n.to_str()).is_some_and(|name| name.ends_with("ubyte"))
}

/// Reads the images of one file (MNIST files hold many), with `channels` bytes a pixel: 1 for gray, 3 for BGR.
pub fn read(path: &Path, channels: usize) -> Result<Vec<Image>> {
    if is_ubyte(path) {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        return read_ubyte(path, &bytes)?.into_iter().map(|image| with_channels(image, channels)).collect();
    }
    let decoded = image::ImageReader::open(path)
        .and_then(|reader| reader.with_guessed_format())
        .with_context(|| format!("cannot read {}", path.display()))?
        .decode()
        .with_context(|| format!("{} is no PNG, JPEG, or BMP image that can be decoded", path.display()))?;
    let (width, height) = (decoded.width() as usize, decoded.height() as usize);
    let gray = matches!(
        decoded.color(),
        image::ColorType::L8 | image::ColorType::L16 | image::ColorType::La8 | image::ColorType::La16
    );
    let (own_channels, pixels) = if gray {
        (1, decoded.into_luma8().into_raw())
    } else {
        let mut pixels = decoded.into_rgb8().into_raw();
        pixels.chunks_exact_mut(3).for_each(|pixel| pixel.swap(0, 2));
        (3, pixels)
    };
    let image = Image { path: path.to_owned(), width, height, channels: own_channels, pixels };
    Ok(vec![with_channels(image, channels)?])
}

/// The IDX format of MNIST: big-endian magic 2051, count, rows, columns, then the pixels
/// (http://yann.lecun.com/exdb/mnist).
fn read_ubyte(path: &Path, bytes: &[u8]) -> Result<Vec<Image>> {
    let field = |i: usize| -> Result<usize> {
        let word = bytes.get(4 * i..4 * i + 4).with_context(|| {
            format!(
                "{}: {} bytes are too few for the header of a ubyte file, which has 16",
                path.display(),
                bytes.len()
            )
        })?;
        Ok(u32::from_be_bytes(word.try_into().expect("four bytes")) as usize)
    };
    let (magic, count, height, width) = (field(0)?, field(1)?, field(2)?, field(3)?);
    ensure!(magic == 2051, "{}: the magic number is {magic}, expected 2051 for images", path.display());
    let size = height.checked_mul(width).filter(|size| *size > 0);
    let size = size.with_context(|| format!("{}: images of {width}x{height} pixels", path.display()))?;
    let wanted = size.checked_mul(count).and_then(|n| n.checked_add(16));
    if wanted.is_none_or(|wanted| wanted > bytes.len()) {
        bail!("{}: {count} images of {width}x{height} do not fit into {} bytes", path.display(), bytes.len());
    }
    let images = bytes[16..].chunks_exact(size).take(count).enumerate();
    Ok(images
        .map(|(i, pixels)| {
            let path = if count == 1 { path.to_owned() } else { format!("{}#{i}", path.display()).into() };
            Image { path, width, height, channels: 1, pixels: pixels.to_vec() }
        })
        .collect())
}

/// Gray from colour by the weights of ITU-R BT.601, colour from gray by repetition.
fn with_channels(image: Image, channels: usize) -> Result<Image> {
    let pixels = match (image.channels, channels) {
        (have, want) if have == want => image.pixels,
        (1, want) => image.pixels.iter().flat_map(|p| std::iter::repeat_n(*p, want)).collect(),
        (3, 1) => image
            .pixels
            .chunks_exact(3)
            .map(|bgr| {
                let [b, g, r] = [bgr[0], bgr[1], bgr[2]].map(f32::from);
                (0.114 * b + 0.587 * g + 0.299 * r).round() as u8
            })
            .collect(),
        (have, want) => bail!("{}: {have} channels do not become {want}", image.path.display()),
    };
    Ok(Image { channels, pixels, ..image })
}

/// The layout of a batch of images of that shape: the channels are the dimension of size 1 or 3, at one of the two
/// usual places.
pub fn guess_layout(dims: &[Dim]) -> Option<Layout> {
    let is_channels = |dim: &Dim| matches!(dim.value(), Some(1 | 3));
    let &[_, second, _, last] = dims else { return None };
    let text = match (is_channels(&second), is_channels(&last)) {
        (true, false) => "NCHW",
        (false, true) => "NHWC",
        _ => return None,
    };
    Some(text.parse().expect("a layout"))
}

/// One axis of a resize: for each place of the result the two source places, and the weight of the second in 1/2048.
/// OpenCV drops the weight where a column has one neighbour only, and keeps it for rows; the products round apart.
fn taps(from: usize, to: usize, drop_at_ends: bool) -> Vec<(usize, usize, i32)> {
    let scale = from as f64 / to as f64;
    let last = from as i64 - 1;
    let tap = |x: usize| {
        let at = ((x as f64 + 0.5) * scale - 0.5) as f32;
        let first = at.floor() as i64;
        let weight = ((at - at.floor()) * 2048.0).round_ties_even() as i32;
        let weight = if drop_at_ends && !(0..last).contains(&first) { 0 } else { weight };
        (first.clamp(0, last) as usize, (first + 1).clamp(0, last) as usize, weight)
    };
    (0..to).map(tap).collect()
}

impl Image {
    /// The part of `width` by `height` pixels whose corner is at `left` and `top`; it must lie within the image.
    pub fn cropped(&self, left: usize, top: usize, width: usize, height: usize) -> Self {
        let row = |y: usize| {
            let start = (y * self.width + left) * self.channels;
            &self.pixels[start..start + width * self.channels]
        };
        let pixels = (top..top + height).flat_map(row).copied().collect();
        Self { path: self.path.clone(), width, height, channels: self.channels, pixels }
    }

    /// Resized by bilinear interpolation between pixel centres, in the fixed-point arithmetic of OpenCV's 8-bit
    /// `resize(INTER_LINEAR)`: weights of 11 bits, products of both axes rounded once more.
    pub fn resized(&self, width: usize, height: usize) -> Self {
        if (width, height) == (self.width, self.height) {
            return self.clone();
        }
        let channels = self.channels;
        let columns = taps(self.width, width, true);
        let row = |y: usize| -> Vec<i32> {
            let source = &self.pixels[y * self.width * channels..][..self.width * channels];
            let mix = |&(a, b, w): &(usize, usize, i32), c: usize| {
                i32::from(source[a * channels + c]) * (2048 - w) + i32::from(source[b * channels + c]) * w
            };
            columns.iter().flat_map(|tap| (0..channels).map(move |c| mix(tap, c))).collect()
        };
        let mut pixels = Vec::with_capacity(width * height * channels);
        for (top, bottom, w) in taps(self.height, height, false) {
            let (top, bottom) = (row(top), row(bottom));
            pixels.extend(top.iter().zip(&bottom).map(|(t, b)| {
                let mixed = (((t >> 4) * (2048 - w)) >> 16) + (((b >> 4) * w) >> 16);
                ((mixed + 2) >> 2).clamp(0, 255) as u8
            }));
        }
        Self { path: self.path.clone(), width, height, channels, pixels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gray(width: usize, height: usize, pixels: &[u8]) -> Image {
        Image { path: "test".into(), width, height, channels: 1, pixels: pixels.to_vec() }
    }

    #[test]
    fn resizing_meets_opencv() {
        // cv2.resize(image, size) of OpenCV 4.10.0, INTER_LINEAR; the last image is random, 5x7 BGR.
        let up = gray(2, 2, &[0, 100, 200, 50]).resized(4, 4);
        assert_eq!(up.pixels, [0, 25, 75, 100, 50, 59, 78, 88, 150, 128, 84, 63, 200, 162, 87, 50]);
        let down = gray(4, 1, &[10, 20, 30, 40]).resized(2, 1);
        assert_eq!(down.pixels, [15, 35]);
        let pixels: Vec<u8> = vec![
            255, 228, 34, 121, 243, 189, 6, 131, 102, 168, 82, 193, 187, 150, 81, 243, 205, 24, 236, 8, 246,
            164, 231, 36, 210, 111, 172, 210, 174, 176, 218, 242, 169, 114, 205, 63, 160, 47, 212, 79, 72,
            112, 120, 222, 69, 31, 95, 108, 36, 109, 238, 69, 51, 81, 228, 211, 202, 58, 202, 65, 76, 70,
            193, 104, 42, 250, 209, 164, 2, 44, 178, 140, 98, 2, 243, 21, 50, 29, 14, 7, 53, 50, 151, 221,
            46, 60, 230, 192, 164, 156, 127, 214, 154, 194, 195, 137, 72, 153, 74, 209, 58, 76, 105, 84, 10,
        ];
        let colour = Image { path: "test".into(), width: 5, height: 7, channels: 3, pixels };
        let expected: Vec<u8> = vec![
            250, 219, 30, 212, 191, 109, 158, 156, 202, 96, 164, 119, 102, 145, 111, 176, 97, 178, 190, 130,
            147, 196, 159, 117, 195, 224, 161, 155, 210, 128, 107, 184, 92, 135, 93, 161, 133, 60, 173, 101,
            87, 128, 106, 162, 92, 112, 220, 68, 70, 73, 182, 81, 63, 211, 101, 56, 234, 161, 119, 86, 153,
            160, 54, 75, 180, 139, 82, 95, 189, 93, 27, 221, 87, 153, 107, 104, 140, 106, 122, 126, 107, 83,
            144, 122, 90, 123, 130, 143, 64, 133, 142, 90, 95, 138, 114, 65,
        ];
        assert_eq!(colour.resized(8, 4).pixels, expected);
        let same = gray(2, 1, &[1, 2]);
        assert_eq!(same.resized(2, 1), same);
    }

    #[test]
    fn ubyte_files_are_checked() {
        let mut bytes: Vec<u8> = [2051u32, 2, 1, 3].iter().flat_map(|v| v.to_be_bytes()).collect();
        bytes.extend([1, 2, 3, 4, 5, 6]);
        let images = read_ubyte(Path::new("t-ubyte"), &bytes).unwrap();
        assert_eq!(images[1].pixels, [4, 5, 6]);
        assert_eq!((images[1].width, images[1].height), (3, 1));
        for cut in 0..bytes.len() {
            assert!(read_ubyte(Path::new("t-ubyte"), &bytes[..cut]).is_err(), "{cut} bytes");
        }
        bytes[4] = 0xff;
        assert!(read_ubyte(Path::new("t-ubyte"), &bytes).is_err());
    }

    #[test]
    fn channels_convert() {
        let colour = with_channels(gray(1, 1, &[7]), 3).unwrap();
        assert_eq!(colour.pixels, [7, 7, 7]);
        let blue = Image { channels: 3, pixels: vec![255, 0, 0], ..gray(1, 1, &[]) };
        assert_eq!(with_channels(blue, 1).unwrap().pixels, [29]);
    }
}
